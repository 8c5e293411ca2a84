"""A log file that rotates by day and by size, and survives full disks and folders that cannot be written."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from collections.abc import Callable

from mms.log_writer.dates import day_name, end_of_day_s
from mms.log_writer.sink import Sink, report_to_stderr

#: Where MMS rotates, and how many old files of one kind it keeps.
MAX_BYTES = 100 * 1024 * 1024
KEPT_ARCHIVES = 5

#: Lines that wait in memory while a file cannot be written. More are dropped, and counted.
_BACKLOG_BYTES = 4 * 1024 * 1024
_RETRY_S = 5.0
_ROTATION_RETRY_S = 60.0
#: What a compression that was cut off by the end of its process left behind is removed after this time.
_STALE_PART_S = 3600.0
_COPY_BYTES = 1024 * 1024
#: Log text shrinks to about a twelfth at zlib's fastest level; higher levels cost several times as much time.
_GZIP_LEVEL = 1
#: Compressing is what can wait: it gives way to whatever else wants the processor.
_COMPRESSION_NICENESS = 19


class RotatingFile(Sink):
    """Appends to one file `<base>.log`. All methods are called from one thread; compression has threads of its own.

    Before the first write of a new local day, and before a write that would take the file past `max_bytes`, the file
    is renamed and compressed to `<base>.<dd-MMM>.log.gz`, or `<base>.<dd-MMM>.<n>.log.gz` where the day already has
    one. The newest `keep` of them are kept. A file that something else has moved away or removed is opened anew. What
    is not a regular file (a link to /dev/stdout, a pipe) is never rotated.

    A write never raises: what cannot be written is said once through `report`, kept up to a limit and tried again.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_BYTES,
        keep: int = KEPT_ARCHIVES,
        clock: Callable[[], float] = time.time,
        report: Callable[[str], None] = report_to_stderr,
    ) -> None:
        self.path = path
        self.dropped_lines = 0
        self._max_bytes = max_bytes
        self._keep = keep
        self._clock = clock
        self._report = report
        self._fd: int | None = None
        self._identity: tuple[int, int] | None = None
        self._size_bytes = 0
        self._day_end_s = 0.0
        self._last_write_s = 0.0
        self._backlog = b""
        self._dropped_in_failure = 0
        self._is_failing = False
        self._retry_at_s = 0.0
        self._rotation_retry_at_s = 0.0
        self._compressors: list[threading.Thread] = []
        #: One compression at a time: they remove each other's oldest archives.
        self._compressing = threading.Lock()

    def __repr__(self) -> str:
        state = "failing" if self._is_failing else "open" if self._fd is not None else "closed"
        return f"<RotatingFile {self.path} {state}, {self._size_bytes} bytes>"

    @property
    def held_lines(self) -> int:
        return self._backlog.count(b"\n")

    def write(self, data: bytes) -> None:
        """Append whole lines; b"" only creates the file."""
        now = self._clock()
        # A clock that was set back must not put the next try off.
        if self._is_failing and 0 < self._retry_at_s - now <= _RETRY_S:
            self._keep_back(data)
            return
        try:
            self._open_if_needed(now)
            if self._is_rotation_due(now, len(data)):
                self._rotate(now)
        except OSError as error:
            self._keep_back(data)
            self._fail(error, now)
            return
        data = self._backlog + data if self._backlog else data
        try:
            self._write_all(data)
        except OSError as error:
            self._fail(error, now)
            return
        self._last_write_s = now
        if self._is_failing:
            self._recover()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what was kept back if that is possible, close, and wait for running compressions."""
        if self._backlog:
            self._retry_at_s = 0.0
            self.write(b"")
        self._close_fd()
        deadline = time.monotonic() + timeout_s
        for thread in self._compressors:
            thread.join(max(deadline - time.monotonic(), 0))

    # Opening

    def _open_if_needed(self, now: float) -> None:
        if self._fd is not None:
            if self._identity is None or self._is_still_there():
                return
            self._close_fd()
        os.makedirs(self._folder, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        # A pipe that nobody reads is an error, not waited for.
        fd = os.open(self.path, flags | os.O_NONBLOCK, 0o644)
        os.set_blocking(fd, True)
        status = os.fstat(fd)
        self._fd = fd
        self._size_bytes = status.st_size
        if stat.S_ISREG(status.st_mode):
            self._identity = (status.st_dev, status.st_ino)
            # Lines of an earlier day belong to that day's file.
            self._last_write_s = status.st_mtime if status.st_size else now
            self._day_end_s = end_of_day_s(self._last_write_s)
        else:
            self._identity = None

    def _is_still_there(self) -> bool:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _close_fd(self) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            os.close(fd)
        except OSError as error:
            # A network file system tells of a write that failed later only here. The descriptor is gone all the same.
            self._report(f"closing the log file {self.path} failed: {error.strerror or error}.")

    # Writing

    def _write_all(self, data: bytes) -> None:
        assert self._fd is not None
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:] if written else data)
        finally:
            self._size_bytes += written
            self._backlog = b""
            if written < len(data):
                self._keep_back(data[written:])

    def _keep_back(self, data: bytes) -> None:
        room = _BACKLOG_BYTES - len(self._backlog)
        if len(data) > room:
            cut = data.rfind(b"\n", 0, max(room, 0)) + 1
            lost = data.count(b"\n", cut)
            self._dropped_in_failure += lost
            self.dropped_lines += lost
            data = data[:cut]
        self._backlog += data

    def _fail(self, error: OSError, now: float) -> None:
        # The next try opens it anew: the folder may have been mounted again by then.
        self._close_fd()
        self._retry_at_s = now + _RETRY_S
        if not self._is_failing:
            self._is_failing = True
            self._report(
                f"cannot write the log file {self.path}: {error.strerror or error}. Serving goes on; "
                f"lines are kept in memory up to {_BACKLOG_BYTES // 1024 // 1024} MiB and writing is tried again "
                f"every {_RETRY_S:g} s."
            )

    def _recover(self) -> None:
        self._is_failing = False
        lost = self._dropped_in_failure
        self._dropped_in_failure = 0
        self._report(f"writing the log file {self.path} again; {lost} lines were lost.")

    # Rotation

    def _is_rotation_due(self, now: float, coming_bytes: int) -> bool:
        if self._identity is None or not self._size_bytes:
            return False
        if 0 < self._rotation_retry_at_s - now <= _ROTATION_RETRY_S:
            return False
        return now >= self._day_end_s or self._size_bytes + coming_bytes > self._max_bytes

    def _rotate(self, now: float) -> None:
        try:
            target = self._archive_path(day_name(self._last_write_s))
            os.rename(self.path, target)
        except OSError as error:
            # Growing past the limit is better than losing lines.
            self._rotation_retry_at_s = now + _ROTATION_RETRY_S
            self._report(
                f"cannot rotate the log file {self.path}: {error.strerror or error}. "
                f"It grows on; rotating is tried again in {_ROTATION_RETRY_S:g} s."
            )
            return
        self._close_fd()
        self._compressors = [t for t in self._compressors if t.is_alive()]
        thread = threading.Thread(
            target=self._compress_in_turn, args=(target,), name="log-compressor", daemon=True
        )
        self._compressors.append(thread)
        thread.start()
        self._open_if_needed(now)

    @property
    def _folder(self) -> str:
        return os.path.dirname(self.path) or "."

    @property
    def _stem(self) -> str:
        return os.path.splitext(os.path.basename(self.path))[0]

    def _archives(self) -> list[tuple[str, str, int]]:
        """Return the rotated files as (path, day, number in the day), in no order."""
        import re  # only a rotation needs it, and the process that writes starts sooner

        pattern = re.compile(
            re.escape(self._stem) + r"\.(\d\d-[A-Z][a-z]{2})(?:\.(\d+))?\.log(?:\.gz)?"
        )
        found = []
        for name in os.listdir(self._folder):
            match = pattern.fullmatch(name)
            if match:
                path = os.path.join(self._folder, name)
                found.append((path, match[1], int(match[2] or 0)))
        return found

    def _archive_path(self, day: str) -> str:
        """Return a free name, not yet compressed."""
        numbers = [number for _, other_day, number in self._archives() if other_day == day]
        suffix = f".{max(numbers) + 1}" if numbers else ""
        return os.path.join(self._folder, f"{self._stem}.{day}{suffix}.log")

    def _compress_in_turn(self, source: str) -> None:
        if sys.platform == "linux":
            # There a thread has a priority of its own. A sandbox may refuse, and nothing depends on it.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _COMPRESSION_NICENESS)
        with self._compressing:
            # While it waited for its turn, newer archives may have pushed it out.
            if os.path.exists(source):
                self._compress(source)

    def _compress(self, source: str) -> None:
        import gzip  # only a rotation needs these two
        import shutil

        part = f"{source}.gz.part"
        try:
            status = os.stat(source)
            with (
                open(source, "rb") as plain,
                gzip.open(part, "wb", compresslevel=_GZIP_LEVEL) as packed,
            ):
                shutil.copyfileobj(plain, packed, _COPY_BYTES)
            # The age of the lines decides which archives go first.
            os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.replace(part, f"{source}.gz")
            os.unlink(source)
            self._prune()
        except OSError as error:
            _remove(part)
            self._report(f"cannot compress the log file {source}: {error.strerror or error}.")

    def _prune(self) -> None:
        """Remove all archives but the newest, and what cut-off compressions left."""
        ages: dict[tuple[str, int], float] = {}
        archives = self._archives()
        for path, day, number in archives:
            # One archive may be there twice for a moment, plain and compressed.
            try:
                age = os.stat(path).st_mtime
            except FileNotFoundError:
                continue  # another server logs into this folder and was faster
            ages[day, number] = max(age, ages.get((day, number), age))
        kept = sorted(ages, key=lambda key: (ages[key], key[1]))[-self._keep :]
        for path, day, number in archives:
            if (day, number) not in kept:
                _remove(path)
        for name in os.listdir(self._folder):
            part = os.path.join(self._folder, name)
            is_part = name.startswith(f"{self._stem}.") and name.endswith(".gz.part")
            if is_part and time.time() - os.stat(part).st_mtime > _STALE_PART_S:
                _remove(part)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
