"""The file that keeps registrations over restarts: a line of JSON for each, written whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mms.errors import ConfigurationError
from mms.text.brief import brief

_FORMAT: Final = "multi-model-server state"
_FORMAT_VERSION: Final = 1
#: Registrations carry secrets: tokens in urls, parameters of models.
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class StateLines:
    """What a state file holds: entries with the numbers of their lines, and the lines that are none."""

    entries: tuple[tuple[int, dict[str, Any]], ...] = ()
    broken: tuple[tuple[int, str], ...] = ()


class StateFile:
    """A path that one server at a time uses. All methods block; `write` is called from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock_fd: int | None = None

    def __repr__(self) -> str:
        return f"<StateFile {self.path}>"

    def lock(self) -> None:
        """Take the path for this server; make its folder. Raises ConfigurationError."""
        lock_path = self.path.with_name(self.path.name + ".lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The lock has a file of its own, since the state file is replaced with each change.
            fd = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise self._unusable("cannot be used", error) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise ConfigurationError(
                f"Invalid configuration: state_file={self.path} is used by another server that runs; "
                "give each its own."
            ) from None
        self._lock_fd = fd

    def unlock(self) -> None:
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            os.close(fd)

    def read(self) -> StateLines:
        """What was kept; nothing where there is no file yet.

        Raises ConfigurationError for a file that cannot be read or that a later version wrote: it would be overwritten.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return StateLines()
        except OSError as error:
            raise self._unusable("cannot be read", error) from None
        entries: list[tuple[int, dict[str, Any]]] = []
        broken: list[tuple[int, str]] = []
        for number, raw in enumerate(data.split(b"\n"), 1):
            if not raw.strip():
                continue
            try:
                value = json.loads(raw)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict):
                broken.append((number, raw.decode("utf-8", "backslashreplace")))
            elif "format" in value:
                self._check_format(value)
            else:
                entries.append((number, value))
        return StateLines(tuple(entries), tuple(broken))

    def write(self, entries: Iterable[dict[str, Any]]) -> None:
        """Put these in place of all; then they outlive a loss of power. Raises OSError, the file being as it was."""
        lines = [{"format": _FORMAT, "format_version": _FORMAT_VERSION}, *entries]
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        new = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
            with open(fd, "wb") as file:
                file.write(data.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        _sync_folder(self.path.parent)

    def set_aside(self, broken: Iterable[tuple[int, str]]) -> Path:
        """Append lines that nobody can read to a file beside this one, which is returned. Raises OSError."""
        aside = self.path.with_name(self.path.name + ".broken")
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        with open(fd, "a", encoding="utf-8") as file:
            for _, line in broken:
                file.write(line + "\n")
        return aside

    def _check_format(self, header: dict[str, Any]) -> None:
        version = header.get("format_version")
        if header["format"] != _FORMAT or version != _FORMAT_VERSION:
            raise ConfigurationError(
                f"Invalid configuration: state_file={self.path} has the format {brief(header['format'])}, version "
                f"{brief(version)}; this server reads {_FORMAT!r}, version {_FORMAT_VERSION}. Give it another path."
            )

    def _unusable(self, what: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"Invalid configuration: state_file={self.path} {what}: {error.strerror or error}"
        )


def _sync_folder(folder: Path) -> None:
    """Make the rename last. Some network file systems know no such thing; the file is whole all the same."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        return
    finally:
        os.close(fd)
