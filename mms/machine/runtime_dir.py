"""The folder of a running server: the workers' socket and the unpacked archives. No two servers share one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import logging
import os
import shutil
import socket
import tempfile
from pathlib import Path

from mms.errors import ConfigurationError
from mms.processes.tree import kill_trees

logger = logging.getLogger("mms.server")

_PREFIX = ".mms-"
_LOCK = "lock"
#: The kernel takes socket paths of this many bytes at most, with their end; the socket's own name is short.
_MAX_SOCKET_PATH_BYTES = 104
_SOCKET_NAME_BYTES = 16


class RuntimeDir:
    """A folder that a server holds a lock on as long as it lives, however it ends."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    def __repr__(self) -> str:
        return f"<RuntimeDir {self.path}>"

    @classmethod
    def create(cls, temp_dir: str) -> RuntimeDir:
        """Make one below `temp_dir`, and remove those that servers left that were killed.

        Raises ConfigurationError where the folder cannot be made.
        """
        parent = Path(temp_dir)
        if (
            len(os.fsencode(parent)) + len(_PREFIX) + 9 + _SOCKET_NAME_BYTES
            > _MAX_SOCKET_PATH_BYTES
        ):
            short = Path(tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp")
            logger.info("The path of %s is too long for sockets; using %s.", parent, short)
            parent = short
        _remove_left(parent)
        try:
            while True:
                path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
                lock_fd = _lock(path)
                if lock_fd is not None:
                    return cls(path, lock_fd)
        except OSError as error:
            raise ConfigurationError(
                f"Temp directory {parent} cannot be used: {error.strerror or error}; TEMP names another one."
            ) from None

    def restore(self) -> None:
        """Make the folder again where something has removed it, as cleaners of temp folders do. Raises OSError.

        One that is there again, and was hidden by a mount meanwhile, is locked again.
        """
        if self._is_locked():
            return
        logger.warning("%s has been removed; it is made again.", self.path)
        lock_fd = None
        while lock_fd is None:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_fd = _lock(self.path)
        os.close(self._lock_fd)
        self._lock_fd = lock_fd

    def _is_locked(self) -> bool:
        """Return whether the lock that is held is that of the folder which has the path now."""
        try:
            return os.path.samestat(os.stat(self.path / _LOCK), os.fstat(self._lock_fd))
        except OSError:
            return False

    def remove(self) -> None:
        _remove(self.path)
        os.close(self._lock_fd)


def _lock(path: Path) -> int | None:
    """Make the folder this server's; None where another one has taken it for left meanwhile. Raises OSError."""
    try:
        lock_fd = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    if os.fstat(lock_fd).st_nlink:
        return lock_fd
    os.close(lock_fd)
    return None


def _remove(path: Path) -> None:
    """Remove a folder whose lock is held. The lock goes last: who is killed meanwhile leaves one that is known."""
    with contextlib.suppress(OSError):
        for name in os.listdir(path):
            if name != _LOCK:
                _remove_entry(path / name)
        os.unlink(path / _LOCK)
        os.rmdir(path)


def _remove_entry(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _remove_left(parent: Path) -> None:
    """Remove the folders below `parent` that no living server holds."""
    for path in parent.glob(_PREFIX + "*"):
        try:
            lock_fd = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            _remove_without_lock(path)
            continue
        except OSError:
            # Another user's.
            continue
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            _end_left_workers(path)
            _remove(path)
        finally:
            os.close(lock_fd)


def _remove_without_lock(path: Path) -> None:
    """Remove what is left of a folder: the lock is the first that comes into it, and the last that goes."""
    try:
        # One that is just being made is empty, too; it is made anew then.
        os.rmdir(path)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY or (path / _LOCK).exists() or _has_server(path):
            return
        # Servers of earlier versions removed the lock first.
        shutil.rmtree(path, ignore_errors=True)


def _has_server(path: Path) -> bool:
    """Return whether a server listens in a folder whose lock a cleaner of temp folders may have removed."""
    for file in path.glob("*.sock"):
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.connect(str(file))
            return True
    return False


def _end_left_workers(path: Path) -> None:
    """Kill what a server left that was killed itself. Workers end with their front; this is for one that could not.

    A worker's command line names the folder, which no other server ever had.
    """
    mark = os.fsencode(f"unix:{path}{os.sep}")
    for command_line in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(command_line, "rb") as file:
                arguments = file.read().split(b"\0")
            if b"mms.worker" not in arguments or not any(a.startswith(mark) for a in arguments):
                continue
            pid = int(command_line.split("/")[2])
            kill_trees([pid])
        except OSError:
            # Gone by now, or another user's.
            continue
        logger.warning("Killed process %d, which was left behind by a server that was killed.", pid)
