"""The file that keeps registrations over restarts: a journal of what is registered, a line of JSON for each.

A line `{"forget": name}` ends what stood before it about the models of a name. So a change costs the lines of one name,
however many models there are.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Protocol

from mms.errors import ConfigurationError
from mms.text.brief import brief

_FORMAT: Final = "multi-model-server state"
_FORMAT_VERSION: Final = 2
#: The first one has no lines that forget.
_KNOWN_VERSIONS: Final = (1, 2)
#: What may be in the file without need, in bytes, before it is written anew.
_SPARE_BYTES: Final = 1 << 20
#: Registrations carry secrets: tokens in urls, parameters of models.
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class StateLines:
    """What a state file holds: entries with the numbers of their lines, and the lines that are none."""

    entries: tuple[tuple[int, dict[str, Any]], ...] = ()
    broken: tuple[tuple[int, str], ...] = ()


class Journal(Protocol):
    """Where registrations are kept. All methods block."""

    @property
    def path(self) -> Path:
        """What messages call it."""

    def lock(self) -> None: ...
    def unlock(self) -> None: ...
    def read(self) -> StateLines: ...
    def exists(self) -> bool: ...
    def change(self, entries: Mapping[str, list[dict[str, Any]]]) -> Collection[str]: ...
    def set_aside(self, broken: Iterable[tuple[int, str]]) -> Path: ...


class StateFile:
    """A path that one server at a time uses. All methods block; `change` is called from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock_fd: int | None = None
        #: How large the file was when all of it was needed, in bytes; None until it has been written.
        self._needed_bytes: int | None = None

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
        """Return what was kept; nothing where there is no file yet.

        Raises ConfigurationError for a file that cannot be read or that a later version wrote: it would be overwritten.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return StateLines()
        except OSError as error:
            raise self._unusable("cannot be read", error) from None
        #: By the models' names.
        entries: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        broken: list[tuple[int, str]] = []
        for number, raw in enumerate(data.split(b"\n"), 1):
            if not raw.strip():
                continue
            try:
                value = json.loads(raw)
            except (ValueError, RecursionError):
                value = None
            members = value if isinstance(value, dict) else {}
            if "format" in members:
                self._check_format(members)
            elif isinstance(members.get("forget"), str):
                entries.pop(members["forget"], None)
            elif isinstance(members.get("model"), str):
                entries.setdefault(members["model"], []).append((number, members))
            else:
                broken.append((number, raw.decode("utf-8", "backslashreplace")))
        kept = sorted((line for lines in entries.values() for line in lines), key=itemgetter(0))
        return StateLines(tuple(kept), tuple(broken))

    def exists(self) -> bool:
        """Return whether there is a file: somebody may have removed it."""
        return self.path.exists()

    def change(self, entries: Mapping[str, list[dict[str, Any]]]) -> Collection[str]:
        """Put these in place of all that is kept of the models of these names. Returns the names it refuses: none.

        When it returns they outlive a loss of power. Raises OSError, the file being as it was.
        """
        if self._needed_bytes is None or not self.exists():
            self._rewrite()
        lines = [line for name, kept in entries.items() for line in ({"forget": name}, *kept)]
        if lines:
            self._append(_encoded(lines))
        if self.path.stat().st_size > 2 * (self._needed_bytes or 0) + _SPARE_BYTES:
            self._rewrite()
        return ()

    def _append(self, data: bytes) -> None:
        with open(self.path, "ab", buffering=0) as file:
            end = file.tell()
            try:
                written = file.write(data)
                if written != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise

    def _rewrite(self) -> None:
        """Leave out of the file what is not needed any more."""
        entries = [entry for _, entry in self.read().entries]
        data = _encoded([{"format": _FORMAT, "format_version": _FORMAT_VERSION}, *entries])
        new = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        _sync_folder(self.path.parent)
        self._needed_bytes = len(data)

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
        if header["format"] != _FORMAT or version not in _KNOWN_VERSIONS:
            raise ConfigurationError(
                f"Invalid configuration: state_file={self.path} has the format {brief(header['format'])}, version "
                f"{brief(version)}; this server reads {_FORMAT!r}, versions 1 and 2. Give it another path."
            )

    def _unusable(self, what: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"Invalid configuration: state_file={self.path} {what}: {error.strerror or error}"
        )


def _encoded(lines: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()


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
