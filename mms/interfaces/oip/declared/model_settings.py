"""MLServer's description of a model, `model-settings.json`: its tensors, and its layout.

Source: MLServer's documentation, "Model Settings", and `mlserver/settings.py` of 1.7.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from archiver.layouts import InvalidLayout, Layout
from mms.tensors.declaration import InvalidDeclaration, ModelDeclaration
from mms.text.brief import brief

SETTINGS_FILE: Final = "model-settings.json"
_MAX_BYTES: Final = 1 << 20
#: A day; nobody waits longer for a batch.
_MAX_BATCH_TIME_S: Final = 86_400
_TENSOR: Final = ("name", "datatype", "shape")


@dataclass(frozen=True, slots=True)
class MlserverSettings:
    """What a `model-settings.json` says. `document`: all of it."""

    document: dict[str, Any]
    declaration: ModelDeclaration

    @property
    def implementation(self) -> str:
        """`module.Class`, empty where none is said."""
        found = self.document.get("implementation")
        return found if isinstance(found, str) else ""

    @property
    def joins_rows(self) -> bool:
        """Whether requests are joined on axis 0, as its adaptive batching does."""
        return self.max_batch_size > 1 and self.document.get("max_batch_time", 0) > 0

    @property
    def max_batch_size(self) -> int:
        found: int = self.document.get("max_batch_size", 0)
        return found


def read_settings(data: bytes) -> MlserverSettings:
    """Raises InvalidDeclaration."""
    if len(data) > _MAX_BYTES:
        raise InvalidDeclaration(f"it has {len(data)} bytes; {_MAX_BYTES} are the most")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidDeclaration(f"it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidDeclaration(f"it must be a JSON object, not {brief(document)}")
    for member, kinds, what in (
        ("name", (str,), "a text"),
        ("implementation", (str,), "a text such as models.MyModel"),
        ("parameters", (dict,), "an object"),
        ("max_batch_size", (int,), "a whole number"),
        ("max_batch_time", (int, float), "a number of seconds"),
    ):
        value = document.get(member)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise InvalidDeclaration(f"{member} must be {what}, not {brief(value)}")
        if value is None:
            document.pop(member, None)
    seconds = document.get("max_batch_time", 0)
    if not 0 <= seconds <= _MAX_BATCH_TIME_S:
        raise InvalidDeclaration(
            f"max_batch_time must be from 0 to {_MAX_BATCH_TIME_S} seconds, not {brief(seconds)}"
        )
    return MlserverSettings(document, _declaration(document))


def _declaration(document: dict[str, Any]) -> ModelDeclaration:
    members: dict[str, Any] = {}
    for side in ("inputs", "outputs"):
        said = document.get(side) or []
        # Tensors have parameters beside what is declared, which are for codecs.
        members[side] = (
            [
                {key: each[key] for key in _TENSOR if key in each}
                if isinstance(each, dict)
                else each
                for each in said
            ]
            if isinstance(said, list)
            else said
        )
    return ModelDeclaration.from_members(members)


def find_layout(folder: Path) -> Layout | None:
    """Return what a folder with a `model-settings.json` is; None where it is none. Raises InvalidLayout."""
    file = folder / SETTINGS_FILE
    if not file.is_file():
        return None
    try:
        settings = read_settings(file.read_bytes())
    except InvalidDeclaration as error:
        raise InvalidLayout(f"{SETTINGS_FILE}: {error}") from None
    module, _, name = settings.implementation.rpartition(".")
    if not module:
        return None
    document = settings.document
    version = document.get("parameters", {}).get("version")
    config: dict[str, Any] = {}
    if settings.joins_rows:
        config["batchSize"] = settings.max_batch_size
        config["maxBatchDelay"] = math.ceil(document["max_batch_time"] * 1000)
    return Layout(
        SETTINGS_FILE,
        f"{module}:{name}",
        document.get("name"),
        str(version) if version else None,
        config,
    )
