"""Snapshots of what is registered, as TorchServe writes them: at the start, after each change, and at the end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mms.interfaces.torchserve.settings import TorchServeSettings
from mms.interfaces.torchserve.settings.snapshots import folder_of
from mms.serving.options import RegisterOptions
from mms.text import properties

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.serving.served import ServedModel
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

_STARTUP: Final = "startup"
_CHANGE: Final = "snapshot"
_SHUTDOWN: Final = "shutdown"
_OWN: Final = re.compile(rf"\d{{17}}-({_STARTUP}|{_CHANGE}|{_SHUTDOWN})\.cfg")
#: Of a server's own files in the folder: older ones are removed.
_MOST_FILES: Final = 50
_MODELS: Final = "model_snapshot"
#: What the command line says that the next start is to have, too. What it says of tokens is said at each start anew.
_OF_COMMAND: Final = ("model_store", "workflow_store")
_UNITS: Final = {"milliseconds": 0.001, "seconds": 1.0}


class SnapshotWriter:
    """Writes the files. Called on the event loop."""

    def __init__(self, settings: Settings, host: ModelHost) -> None:
        self._settings = settings
        self._host = host
        self._folder = folder_of(settings.log_dir)
        self._entries: list[tuple[str, str]] = []
        #: What was to be loaded at the start and could not be: the next start is to try it, too.
        self._missing: dict[str, dict[str, Any]] = {}
        self._last: dict[str, Any] | None = None
        self._writing = asyncio.Lock()
        self._is_failing = False

    def __repr__(self) -> str:
        return f"<SnapshotWriter to {self._folder}>"

    @classmethod
    def of(cls, settings: Settings, host: ModelHost) -> SnapshotWriter | None:
        """Return that of a server; None where it writes no snapshots."""
        if settings.ignores_snapshots or settings.state_file is not None:
            return None
        return cls(settings, host)

    async def start(self) -> None:
        """Write the first one, and follow the changes from now on."""
        self._entries = await asyncio.to_thread(self._read_entries)
        there = {served.startup_source for served in self._host.registry.all()}
        for source, row in self._settings.startup_options.items():
            if source not in there:
                row = dict(row)
                version = str(row.pop("modelVersion", "1.0"))
                self._missing.setdefault(str(source[0]), {})[version] = row
        await self._write(_STARTUP)
        self._host.registration_listeners.append(self._follow)

    async def stop(self) -> None:
        """Write the last one, while the models are there."""
        if self._follow in self._host.registration_listeners:
            self._host.registration_listeners.remove(self._follow)
            await self._write(_SHUTDOWN)

    async def _follow(self) -> None:
        """Write one where something has changed since the last one. Whoever comes meanwhile shares the next one."""
        await self._write(_CHANGE)

    async def _write(self, kind: str) -> None:
        async with self._writing:
            models = self._models()
            if kind == _CHANGE and models == self._last:
                return
            try:
                await asyncio.to_thread(self._write_file, kind, models)
            except OSError as error:
                if not self._is_failing:
                    self._is_failing = True
                    logger.warning(
                        "Snapshots cannot be written to %s: %s. Serving goes on; --ncs does without them.",
                        *(self._folder, error.strerror or error),
                    )
            else:
                self._last, self._is_failing = models, False

    def _read_entries(self) -> list[tuple[str, str]]:
        """Return what the configuration says, as it is written there: variables that it names stay variables."""
        settings = self._settings
        found: dict[str, str] = {}
        if settings.config_file is not None:
            try:
                text = properties.decode(Path(settings.config_file).read_bytes())
                found = {entry.key: entry.value for entry in properties.parse(text)}
            except (OSError, ValueError):
                # It has been read once; what became of it is not known.
                found = {}
        found.pop(_MODELS, None)
        own = settings.of(TorchServeSettings)
        for name, value in zip(
            _OF_COMMAND, (settings.model_store, own.workflow_store), strict=True
        ):
            if value is not None and not settings.sources.get(name, "").startswith(
                f"{settings.config_file}:"
            ):
                found[name] = os.path.abspath(value)
        return list(found.items())

    def _models(self) -> dict[str, Any]:
        registry = self._host.registry
        models: dict[str, Any] = {}
        for served in registry.all():
            if served.registration is not None and served.registration.url:
                row = _row_of(served, registry.is_default(served))
                models.setdefault(served.name, {})[served.version or "1.0"] = row
        for name, versions in self._missing.items():
            models.setdefault(name, versions)
        return models

    def _write_file(self, kind: str, models: dict[str, Any]) -> None:
        """Blocks. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now()
        name = f"{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03d}-{kind}.cfg"
        document = {
            "name": name,
            "modelCount": sum(map(len, models.values())),
            "created": int(time.time() * 1000),
            "models": models,
        }
        entries = [*self._entries, (_MODELS, json.dumps(document, indent=2))]
        # A name that is no snapshot's, so that one that is cut off is never the newest.
        unfinished = self._folder / f".{os.getpid()}.unfinished"
        try:
            # The configuration may have passwords.
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(properties.write(entries))
            os.replace(unfinished, self._folder / name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        own = sorted(path for path in self._folder.iterdir() if _OWN.fullmatch(path.name))
        for path in own[:-_MOST_FILES]:
            path.unlink(missing_ok=True)


def _row_of(served: ServedModel, is_default: bool) -> dict[str, Any]:
    """Return what a snapshot says of a model: TorchServe's members, then what its registration says besides."""
    effective, registration = served.effective, served.registration
    assert registration is not None
    row: dict[str, Any] = {
        "defaultVersion": is_default,
        "marName": registration.url,
        "minWorkers": served.min_workers,
        "maxWorkers": served.max_workers,
        "batchSize": effective.batch_size,
        "maxBatchDelay": effective.max_batch_delay_ms,
        "responseTimeout": round(served.model.config.response_timeout_s),
        "startupTimeout": round(
            120 if effective.load_timeout_s is None else effective.load_timeout_s
        ),
        "runtimeType": served.runtime,
        "fromOperator": registration.is_from_operator,
    }
    for member, declared in RegisterOptions.all_parameters():
        value = registration.value_of(member)
        if value is None or not declared.keys or declared.keys[0].name in row:
            continue
        key = declared.keys[0]
        if isinstance(value, float) and key.unit in _UNITS:
            value /= _UNITS[key.unit]
        row[key.name] = list(value) if isinstance(value, tuple) else value
    return row
