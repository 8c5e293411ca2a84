"""JSON lines appended to a file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mms.tracking.sink import Undelivered

#: Old files that stay beside one that rotates.
KEPT_FILES = 5


class FileSink:
    """Writes a line for each record. Several processes may append to one file, unless one of them rotates it.

    With `max_bytes` the file is renamed to `<path>.1` before it would grow beyond, `<path>.1` to `<path>.2` and so on;
    `keep` old ones stay. A file that something else has moved away (logrotate) or removed is made anew.
    """

    def __init__(self, path: str, *, max_bytes: int = 0, keep: int = KEPT_FILES) -> None:
        """`max_bytes` 0: it never rotates. Raises OSError where the file cannot be written."""
        self.path = os.path.abspath(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._size_bytes = 0
        self._identity: tuple[int, int] | None = None
        #: The last write ended within a line.
        self._is_torn = False
        self._fd: int | None = self._open()

    def __repr__(self) -> str:
        return f"<FileSink {self.path}>"

    def write(self, records: Sequence[bytes]) -> None:
        delivered = 0
        try:
            for end in self._chunks(records):
                self._write(b"\n".join(records[delivered:end]) + b"\n")
                delivered = end
        except OSError as error:
            self.close()
            raise Undelivered(f"{self.path}: {error}", delivered, can_retry=True) from None

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _chunks(self, records: Sequence[bytes]) -> list[int]:
        """Return where to cut, so that a file that rotates stays within its size."""
        if not self._max_bytes:
            return [len(records)]
        ends, size = [], 0
        for index, record in enumerate(records):
            if size and size + len(record) + 1 > self._max_bytes:
                ends.append(index)
                size = 0
            size += len(record) + 1
        return [*ends, len(records)]

    def _write(self, data: bytes) -> None:
        fd = self._current()
        if self._max_bytes and self._size_bytes and self._size_bytes + len(data) > self._max_bytes:
            fd = self._rotate()
        if self._is_torn:
            data = b"\n" + data
        view = memoryview(data)
        while view:
            self._is_torn = True
            written = os.write(fd, view)
            self._size_bytes += written
            view = view[written:]
        self._is_torn = False

    def _current(self) -> int:
        """Return the descriptor of the file that has the name now."""
        if self._fd is not None:
            try:
                found = os.stat(self.path)
                if (found.st_dev, found.st_ino) == self._identity:
                    return self._fd
            except FileNotFoundError:
                pass
            self.close()
            self._is_torn = False
        self._fd = self._open()
        return self._fd

    def _open(self) -> int:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        # A pipe that nobody reads is an error, not waited for.
        fd = os.open(self.path, flags | os.O_NONBLOCK, 0o640)
        os.set_blocking(fd, True)
        found = os.fstat(fd)
        self._identity = (found.st_dev, found.st_ino)
        self._size_bytes = found.st_size
        return fd

    def _rotate(self) -> int:
        self.close()
        for number in range(self._keep, 0, -1):
            source = self.path if number == 1 else f"{self.path}.{number - 1}"
            if os.path.exists(source):
                os.replace(source, f"{self.path}.{number}")
        if self._keep <= 0:
            os.unlink(self.path)
        self._is_torn = False
        self._fd = self._open()
        return self._fd
