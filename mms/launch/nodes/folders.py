"""Folders of models on a node: packed by the front, unpacked once for all workers of the node that share them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mms.text.brief import brief

#: Of what travels at once, in bytes.
CHUNK_BYTES = 8 << 20
#: Links that lead around are followed so far.
_MOST_LEVELS = 64
_NAME = "content"
_RELAY = "relay-"
#: Until a lock is tried again that another process had at the same moment, in seconds.
_AGAIN_S = 0.02


class InvalidFolder(Exception):
    """What came is not what was to come. The message is one line for people."""


class _Chunks(io.RawIOBase):
    """Cuts what is written to it into chunks, and hands each on."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._buffer = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        content = bytes(data)  # type: ignore[call-overload]
        self._buffer += content
        while len(self._buffer) >= CHUNK_BYTES:
            self._take(bytes(self._buffer[:CHUNK_BYTES]))
            del self._buffer[:CHUNK_BYTES]
        return len(content)

    def finish(self) -> None:
        if self._buffer:
            self._take(bytes(self._buffer))
            self._buffer.clear()


def pack(path: Path, take: Callable[[bytes], None]) -> str:
    """Give a folder, or a file, in chunks to `take`. Return the SHA-256 of all of it. Raises OSError.

    Links are followed: what they name may not be there on a node.
    """
    digest = hashlib.sha256()

    def note(chunk: bytes) -> None:
        digest.update(chunk)
        take(chunk)

    chunks = _Chunks(note)
    with tarfile.open(
        fileobj=chunks,
        mode="w|",
        format=tarfile.PAX_FORMAT,
        dereference=True,
    ) as archive:
        for file, name in _files(path, f"{_NAME}/{path.name}", 0):
            member = archive.gettarinfo(file, name)
            # The same bytes, whoever has them since whenever.
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.type = tarfile.DIRTYPE if member.isdir() else tarfile.REGTYPE
            if member.isdir():
                archive.addfile(member)
            else:
                with open(file, "rb") as content:
                    member.size = os.fstat(content.fileno()).st_size
                    archive.addfile(member, content)
    chunks.finish()
    return digest.hexdigest()


def _files(path: Path, name: str, level: int) -> Iterator[tuple[Path, str]]:
    if level > _MOST_LEVELS:
        raise OSError(f"{path} lies more than {_MOST_LEVELS} folders deep")
    if path.is_dir():
        yield path, name
        for each in sorted(os.listdir(path)):
            yield from _files(path / each, f"{name}/{each}", level + 1)
    elif path.is_file():
        yield path, name
    elif not level:
        raise FileNotFoundError(f"{path} is neither a file nor a folder")


class _Reader(io.RawIOBase):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self.digest.update(chunk)
            self._left = memoryview(chunk)
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def unpack(chunks: Iterable[bytes], folder: Path, digest: str) -> None:
    """Write what `pack` has packed into a folder that exists. Raises OSError and InvalidFolder."""
    reader = _Reader(chunks)
    try:
        with tarfile.open(fileobj=io.BufferedReader(reader, CHUNK_BYTES), mode="r|") as archive:
            for member in archive:
                parts = member.name.split("/")
                if parts[0] != _NAME or ".." in parts or "" in parts:
                    raise InvalidFolder(f"a file with the name {brief(member.name)}")
                target = folder.joinpath(*parts)
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise InvalidFolder(f"{brief(member.name)} is neither a file nor a folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "xb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
                os.chmod(target, member.mode & 0o777)
                os.utime(target, (member.mtime, member.mtime))
    except tarfile.TarError as error:
        raise InvalidFolder(str(error)) from None
    for _ in iter(lambda: reader.read(1 << 20), b""):
        continue
    if reader.digest.hexdigest() != digest:
        raise InvalidFolder("its SHA-256 is another one than the front's")


def node_root() -> Path:
    """Return the folder of all models of this user on this node; it is made where there is none. Raises OSError."""
    root = Path(tempfile.gettempdir()) / f"mms-node-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if found.st_uid != os.getuid() or root.is_symlink() or found.st_mode & 0o077:
        raise OSError(f"{root} is somebody else's, or open to others")
    return root


def relay_folder(root: Path) -> Path:
    """Return a new folder for a socket of this process. Raises OSError."""
    return Path(tempfile.mkdtemp(prefix=f"{_RELAY}{os.getpid()}-", dir=root))


class NodeFolder:
    """One folder of a node, known by its SHA-256, that stays as long as one process holds it.

    A lock is what holds it, so that it goes with the last process, however that ends.
    """

    def __init__(self, root: Path, digest: str) -> None:
        self._root = root
        self._digest = digest
        self._folder = root / digest
        self._lock_path = root / f"{digest}.lock"
        self._lock = -1

    def __repr__(self) -> str:
        return f"<NodeFolder {self._folder}>"

    def take(self, fetch: Callable[[], Iterable[bytes]], name: str) -> Path:
        """Return where it is; it is fetched and unpacked first where it is not there. `name`: its last part.

        Blocks, also while another process fetches the same. Raises OSError, InvalidFolder, and what `fetch` raises.
        """
        while not self._hold(fetch):
            continue
        return self._folder / _NAME / name

    def _hold(self, fetch: Callable[[], Iterable[bytes]]) -> bool:
        lock = os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Waits for who fetches it.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if self._is_current(lock) and not self._folder.exists():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    # Somebody else is about to fetch it, or holds it by now.
                    time.sleep(_AGAIN_S)
                    return False
                if self._is_current(lock) and not self._folder.exists():
                    self._fetch(fetch)
                fcntl.flock(lock, fcntl.LOCK_SH)
            # Between two locks another process may have had it, and removed all.
            if self._is_current(lock) and self._folder.exists():
                self._lock, lock = lock, -1
                return True
            return False
        finally:
            if lock >= 0:
                os.close(lock)

    def _fetch(self, fetch: Callable[[], Iterable[bytes]]) -> None:
        # Who left one has ended: the lock says so.
        for left in self._root.glob(f"{self._digest}.part-*"):
            shutil.rmtree(left, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{self._digest}.part-", dir=self._root))
        try:
            unpack(fetch(), part, self._digest)
            part.rename(self._folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _is_current(self, lock: int) -> bool:
        try:
            return os.path.samestat(os.fstat(lock), os.stat(self._lock_path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Hold it no more; who was the last one removes it."""
        lock, self._lock = self._lock, -1
        if lock < 0:
            return
        try:
            self._remove_if_last(lock)
        finally:
            os.close(lock)

    def _remove_if_last(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if self._is_current(lock):
            shutil.rmtree(self._folder, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                self._lock_path.unlink()


def sweep(root: Path) -> None:
    """Remove what processes have left that were killed."""
    for path in root.glob(f"{_RELAY}*"):
        pid = path.name.removeprefix(_RELAY).partition("-")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
    for path in root.glob("*.lock"):
        folder = NodeFolder(root, path.stem)
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for left in root.glob(f"{path.stem}.part-*"):
                    shutil.rmtree(left, ignore_errors=True)
                folder._remove_if_last(lock)
            finally:
                os.close(lock)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
