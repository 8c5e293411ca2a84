"""What was fetched from elsewhere, in files that all processes of a user share while any of them lives.

`content/<SHA-256>/<name>` has the files, under the names that they had; `index/` tells what an address had last, and
by which version it can be asked again. Content is written beside its place and renamed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_LOCK = "lock"
_MAX_NAME_BYTES = 200

#: (file to write, version known) -> the version written; None where it is the one that is known.
Fetch = Callable[[Any, str], "str | None"]

_folder: FetchedFiles | None = None


class FetchedFiles:
    """A folder that is removed by the last of the processes that use it; one that ended by force leaves it to
    the next server that starts or process that ends.
    """

    def __init__(self, path: str, lock_fd: int) -> None:
        self.path = path
        self.owner_pid = os.getpid()
        self._lock_fd = lock_fd

    def __repr__(self) -> str:
        return f"<FetchedFiles {self.path}>"

    @classmethod
    def open(cls, temp_dir: str) -> FetchedFiles:
        """Raises OSError where no folder can be made, or one of its name is another user's."""
        import fcntl

        # Servers remove folders of this form whose lock nobody holds.
        path = os.path.join(temp_dir, f".mms-fetched-{os.getuid()}")
        while True:
            os.makedirs(path, mode=0o700, exist_ok=True)
            found = os.lstat(path)
            if found.st_uid != os.getuid() or not os.path.isdir(path) or os.path.islink(path):
                raise PermissionError(f"{path} is not a folder of this user")
            try:
                lock_fd = os.open(
                    os.path.join(path, _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
                )
            except FileNotFoundError:
                continue
            fcntl.flock(lock_fd, fcntl.LOCK_SH)
            try:
                is_same = os.path.samestat(os.fstat(lock_fd), os.stat(os.path.join(path, _LOCK)))
            except FileNotFoundError:
                is_same = False
            if is_same:
                return cls(path, lock_fd)
            # Removed between the two: by the last process before this one.
            os.close(lock_fd)

    def close(self) -> None:
        """Remove the folder unless another process uses it."""
        if os.getpid() != self.owner_pid:
            return
        import fcntl
        import shutil

        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        else:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock_fd)

    def fetch(self, url: str, name: str, fetch: Fetch) -> str:
        """Return the path of the file that `url` names now. One process at a time fetches it, none what is known.

        Raises what `fetch` raises.
        """
        import fcntl
        import hashlib

        key = hashlib.sha256(url.encode()).hexdigest()
        folder = os.path.join(self.path, "index")
        os.makedirs(folder, exist_ok=True)
        index = os.path.join(folder, key)
        fd = os.open(f"{index}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            return self._fetched(index, _file_name(name), fetch)
        finally:
            os.close(fd)

    def _fetched(self, index: str, name: str, fetch: Fetch) -> str:
        import json

        try:
            with open(index, encoding="utf-8") as file:
                known = json.load(file)
        except (FileNotFoundError, ValueError):
            known = {}
        path = os.path.join(self.path, "content", known.get("content", "-"), name)
        is_there = os.path.isfile(path)
        incoming = f"{index}.{os.getpid()}"
        try:
            with open(incoming, "wb") as file:
                hashing = _HashingFile(file)
                version = fetch(hashing, known.get("version", "") if is_there else "")
            if version is None:
                return path
            content = hashing.digest()
            path = os.path.join(self.path, "content", content, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(incoming, path)
        finally:
            if os.path.exists(incoming):
                os.unlink(incoming)
        partial = f"{incoming}.index"
        with open(partial, "w", encoding="utf-8") as file:
            json.dump({"content": content, "version": version}, file)
        os.replace(partial, index)
        return path


class _HashingFile:
    """A file that is written and digested at once."""

    def __init__(self, file: Any) -> None:
        import hashlib

        self._file = file
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> int:
        self._hash.update(chunk)
        written: int = self._file.write(chunk)
        return written

    def digest(self) -> str:
        return self._hash.hexdigest()


def fetched_files() -> FetchedFiles:
    """Return those of this process, until it ends."""
    global _folder
    if _folder is None or _folder.owner_pid != os.getpid():
        import atexit
        import tempfile

        _folder = FetchedFiles.open(tempfile.gettempdir())
        atexit.register(_folder.close)
    return _folder


def _file_name(name: str) -> str:
    """Return a name that a file can have, the end of it kept: that tells its format."""
    safe = name.replace("/", "_").replace("\0", "_")
    if safe in ("", ".", ".."):
        return "file"
    encoded = safe.encode()
    return encoded[-_MAX_NAME_BYTES:].decode(errors="ignore")
