"""The file with the server's process id, and whether that process is a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mms.processes.launch_options import ARGV_WORD


class PidFileError(Exception):
    """The file cannot be used. The message is one line for people."""


@dataclass(frozen=True, slots=True)
class PidFile:
    """Its content is the decimal process id alone, as MMS has it."""

    path: Path

    def read(self) -> int | None:
        """Return the process id; None where there is no file, 0 for a file without a number."""
        try:
            return int(self.path.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            return 0
        except OSError as error:
            raise PidFileError(f"PID file {self.path} cannot be read: {error.strerror}") from None

    def write(self, pid: int) -> None:
        try:
            self.path.write_text(str(pid))
        except OSError as error:
            raise PidFileError(
                f"PID file {self.path} cannot be written: {error.strerror}"
            ) from None

    def remove(self, *, of: int | None = None) -> None:
        """Remove the file; with `of` only if it names that process."""
        try:
            if of is None or self.read() == of:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise PidFileError(
                f"PID file {self.path} cannot be removed: {error.strerror}"
            ) from None


def command_words(pid: int) -> list[str]:
    """Return the words of a process's command line; none for one that has ended."""
    if pid <= 0:
        return []
    if os.path.isdir("/proc/self"):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
        except OSError:
            return []
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment of a process; this process's own where it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = os.fsdecode(file.read()).split("\0")
    except OSError:
        return dict(os.environ)
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def is_server(pid: int) -> bool:
    """Return whether a process is a server: process ids are given away again."""
    return ARGV_WORD in command_words(pid)
