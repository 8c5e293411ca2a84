"""The three containers an archive comes in, behind one interface: zip file, gzipped tar file, folder.

A container lists checked members and opens them. It knows nothing about manifests, and writes nothing.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Protocol, cast

from archiver.errors import ArchiveError, InvalidArchive
from archiver.manifest import LEGACY_MANIFEST_NAME, MANIFEST_NAME, MAX_MANIFEST_BYTES
from archiver.reading.limits import Budget, Limits, too_many_entries
from archiver.reading.names import NameTree, checked_name
from mms.text.brief import brief

if TYPE_CHECKING:
    import gzip
    import tarfile

ContainerKind = Literal["mar", "tgz", "folder"]

# What zipfile, tarfile and zlib raise for damaged or unsupported input; numbers and lengths of a damaged header make
# them fail in arithmetic and at indices, too. tarfile's own errors are added where it is used.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    ValueError,
)
# Flags of an entry of a zip file: its content, or the directory, is encrypted.
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
# What Java's zip files have, MMS's among them. zipfile unpacks other methods by the mebibyte of input into memory,
# which for bzip2 is gigabytes.
_ZIP_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_DIRECTORY_MAGIC: Final = b"PK\x01\x02"
# Of a directory's entry with a long name; the shortest has 47, zipfile makes some 700 of it in memory.
_ZIP_DIRECTORY_ENTRY_BYTES: Final = 640
_ZIP_LOCAL_HEADER_BYTES: Final = 30
# tarfile reads extended headers whole, and any number of them for one entry; honest ones are a few kilobytes.
_MAX_TAR_HEADER_BYTES: Final = 1024 * 1024
_MAX_TAR_PADDING_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_MAX_KEPT_HEADS_BYTES: Final = 2 * MAX_MANIFEST_BYTES


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a container. `name` has passed `checked_name`; `size_bytes` is the unpacked size."""

    name: str
    size_bytes: int
    is_executable: bool
    is_link: bool
    handle: Any


class Container(Protocol):
    kind: ContainerKind

    def members(self) -> list[Member]:
        """Return the files in the order in which reading them is cheapest. Raises InvalidArchive."""

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the member's content in pieces of at most a mebibyte. Raises InvalidArchive for damage and links."""

    def has_file(self, name: str) -> bool: ...

    def folders(self, prefix: str = "") -> list[str]:
        """Return the sorted paths of the folders directly in `prefix`, which is empty or ends with a slash."""

    def read_head(self, name: str, max_bytes: int) -> bytes:
        """Return the file `name`, refused when it is longer than `max_bytes`. Raises InvalidArchive."""

    def close(self) -> None: ...


def open_container(path: Path, limits: Limits) -> Container:
    """Return the container at `path`, by what is in the file and not by its name. Raises InvalidArchive, OSError."""
    if path.is_dir():
        return FolderContainer(path)
    if path.exists() and not path.is_file():
        raise InvalidArchive(f"{path.name} is neither a file nor a folder.")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        return TarContainer(path, limits)
    if magic in (b"PK\x03\x04", b"PK\x05\x06"):
        return ZipContainer(path, limits)
    what = "It is empty." if not magic else "It is neither a zip file nor a gzipped tar file."
    raise InvalidArchive(f"{path.name} is not a model archive. {what}")


@contextmanager
def damage_named(path: Path, name: str | None = None) -> Iterator[None]:
    """Turns what the libraries raise for damaged input into an InvalidArchive that names the file and the entry."""
    try:
        yield
    except ArchiveError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, name, error) from error


def _damaged(path: Path, name: str | None, error: Exception) -> InvalidArchive:
    place = path.name if name is None else f"The entry {brief(name)} of {path.name}"
    return InvalidArchive(f"{place} is damaged or incomplete: {error or type(error).__name__}.")


class _ListedContainer(ABC):
    """A file whose members are known from when it is opened."""

    _path: Path
    _members: list[Member]
    _by_name: dict[str, Member]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r}, members={len(self._members)})"

    def members(self) -> list[Member]:
        return self._members

    @abstractmethod
    def chunks(self, member: Member) -> Iterator[bytes]: ...

    def has_file(self, name: str) -> bool:
        return name in self._by_name

    def folders(self, prefix: str = "") -> list[str]:
        return _folders(self._by_name, prefix)

    def read_head(self, name: str, max_bytes: int) -> bytes:
        member = self._by_name[name]
        _check_head(member.name, member.size_bytes, max_bytes)
        return self._read(member)

    def _read(self, member: Member) -> bytes:
        return b"".join(self.chunks(member))


class ZipContainer(_ListedContainer):
    """A `.mar` or `.model` file."""

    kind: ContainerKind = "mar"

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._file = _CarefulFile(path, limits)
        try:
            with damage_named(path):
                self._zip = zipfile.ZipFile(self._file)
            self._file.is_in_directory = False
            self._members = self._scan(Budget(limits, path.stat().st_size))
            self._refuse_overlaps()
        except BaseException:
            self._file.close()
            raise
        self._by_name = {member.name: member for member in self._members}

    def _scan(self, budget: Budget) -> list[Member]:
        tree = NameTree(budget)
        members: list[Member] = []
        for info in self._zip.infolist():
            # zipfile cuts `filename` at a NUL; the name as it stands in the file is what has to be judged.
            name = checked_name(info.orig_filename)
            mode = info.external_attr >> 16
            budget.count(name, info.file_size)
            if info.flag_bits & _ENCRYPTED:
                raise InvalidArchive(f"The archive's entry {brief(name)} is encrypted.")
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(name, stat.S_ISLNK(mode))
            if info.compress_type not in _ZIP_METHODS:
                raise InvalidArchive(
                    f"The archive's entry {brief(name)} is compressed by method {info.compress_type}; only stored and "
                    "deflated entries are unpacked."
                )
            if info.is_dir() or stat.S_ISDIR(mode):
                tree.add_folder(name)
                continue
            tree.add_file(name)
            members.append(Member(name, info.file_size, bool(mode & stat.S_IXUSR), False, info))
        return members

    def _refuse_overlaps(self) -> None:
        """Refuses entries that share their bytes: a bomb whose directory alone grows."""
        end = 0
        infos = [(cast(zipfile.ZipInfo, member.handle), member.name) for member in self._members]
        for info, name in sorted(infos, key=lambda pair: pair[0].header_offset):
            if info.header_offset < end:
                raise InvalidArchive(f"The archive's entry {brief(name)} overlaps another one.")
            # Without the name and the extra field that follow, which the directory need not tell.
            end = info.header_offset + _ZIP_LOCAL_HEADER_BYTES + info.compress_size

    def chunks(self, member: Member) -> Iterator[bytes]:
        info = cast(zipfile.ZipInfo, member.handle)
        with damage_named(self._path, member.name), self._zip.open(info) as file:
            yield from _chunks(file, member.size_bytes)

    def close(self) -> None:
        self._zip.close()
        self._file.close()


class _CarefulFile(io.BufferedReader):
    """A zip file whose directory is refused before zipfile makes an object of each of its entries.

    `is_in_directory`: what is read now is the directory, which zipfile reads at once.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(io.FileIO(path))
        self._path = path
        self._max_entries = limits.max_entries
        self.is_in_directory = True

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.is_in_directory:
            return super().read(size)
        most = max(self._max_entries * _ZIP_DIRECTORY_ENTRY_BYTES, _CHUNK_BYTES)
        if size is not None and size > most:
            raise InvalidArchive(
                f"{self._path.name} has a directory of {size} bytes, {most} is the limit for {self._max_entries} "
                "entries."
            )
        data = super().read(size)
        if data.count(_ZIP_DIRECTORY_MAGIC) > self._max_entries:
            raise too_many_entries(self._max_entries, self._name_at(data))
        return data

    def _name_at(self, directory: bytes) -> str:
        """Return the name of the first entry too many."""
        start = -1
        for _ in range(self._max_entries + 1):
            start = directory.find(_ZIP_DIRECTORY_MAGIC, start + 1)
        length = int.from_bytes(directory[start + 28 : start + 30], "little")
        return directory[start + 46 : start + 46 + length].decode("utf-8", "replace")


class TarContainer(_ListedContainer):
    """A `.tar.gz` file. Its members can only be read in order at a fair price, so `members` keeps that order."""

    kind: ContainerKind = "tgz"

    def __init__(self, path: Path, limits: Limits) -> None:
        # Imported here because a server that meets no .tar.gz never needs them.
        import gzip
        import tarfile

        self._path = path
        self._tar_error = tarfile.TarError
        self._heads: dict[str, bytes] = {}
        self._file = path.open("rb")
        try:
            stream = _CarefulReader(gzip.GzipFile(fileobj=self._file, mode="rb"))
            with self._damage_named():
                self._tar = tarfile.TarFile(
                    fileobj=cast(IO[bytes], stream), mode="r", encoding="utf-8"
                )
                self._members = self._scan(Budget(limits, path.stat().st_size), stream)
                stream.is_in_headers = False
                self._check_end(stream)
        except BaseException:
            self._file.close()
            raise
        self._by_name = {member.name: member for member in self._members}

    def _scan(self, budget: Budget, stream: _CarefulReader) -> list[Member]:
        tree = NameTree(budget)
        members: list[Member] = []
        kept_bytes = 0
        for info in self._tar:
            stream.header_bytes = 0
            if info.size < 0:
                raise InvalidArchive(f"The archive's entry {brief(info.name)} has a negative size.")
            # Counted before the loop goes on, because going on unpacks what this entry says it holds.
            budget.count(info.name, info.size)
            if info.isdir() and _is_root(info.name):
                continue
            name = checked_name(info.name)
            if info.sparse is not None:
                raise InvalidArchive(
                    f"The archive's entry {brief(name)} is a sparse file; archive it without tar's --sparse."
                )
            if info.isdir():
                tree.add_folder(name)
                continue
            if not info.isreg():
                raise _special(name, info.issym() or info.islnk())
            tree.add_file(name)
            members.append(Member(name, info.size, bool(info.mode & stat.S_IXUSR), False, info))
            if _is_manifest(name) and kept_bytes + info.size <= _MAX_KEPT_HEADS_BYTES:
                # Going back to a file once passed means unpacking everything before it again.
                kept_bytes += info.size
                stream.is_in_headers = False
                with self._content(info) as file:
                    self._heads[name] = file.read()
                stream.is_in_headers = True
        return members

    def _check_end(self, stream: _CarefulReader) -> None:
        """Refuses what follows the last readable entry unless it is padding: tarfile takes damage for the end."""
        stream.seek(self._tar.offset)
        rest = stream.read(_MAX_TAR_PADDING_BYTES)
        if rest.strip(b"\0") or stream.read(1):
            raise InvalidArchive(
                f"{self._path.name} is damaged after its entry number {len(self._members)}."
            )

    def _content(self, info: tarfile.TarInfo) -> IO[bytes]:
        file = self._tar.extractfile(info)
        if file is None:
            raise _special(info.name, is_link=False)
        return file

    @contextmanager
    def _damage_named(self, name: str | None = None) -> Iterator[None]:
        import gzip

        try:
            with damage_named(self._path, name):
                yield
        except (self._tar_error, gzip.BadGzipFile) as error:
            raise _damaged(self._path, name, error) from error

    def chunks(self, member: Member) -> Iterator[bytes]:
        with (
            self._damage_named(member.name),
            self._content(cast("tarfile.TarInfo", member.handle)) as file,
        ):
            yield from _chunks(file, member.size_bytes)

    def _read(self, member: Member) -> bytes:
        kept = self._heads.get(member.name)
        return super()._read(member) if kept is None else kept

    def close(self) -> None:
        self._tar.close()
        self._file.close()


class _CarefulReader:
    """A stream for tarfile that refuses reads no honest archive causes.

    tarfile reads the extended headers of an entry into memory, whatever their size and number, before its caller sees
    the entry. `header_bytes`: read since the last entry; its caller sets it to 0 and says when content is read.
    """

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._stream = stream
        self.header_bytes = 0
        self.is_in_headers = True

    def read(self, size: int = -1) -> bytes:
        if self.is_in_headers:
            if not 0 <= size <= _MAX_TAR_HEADER_BYTES:
                raise InvalidArchive(f"The archive has a header of {size} bytes.")
            self.header_bytes += size
            if self.header_bytes > _MAX_TAR_HEADER_BYTES:
                raise InvalidArchive(
                    f"The archive has headers of more than {_MAX_TAR_HEADER_BYTES} bytes for one entry."
                )
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class FolderContainer:
    """A folder with an archive's layout. Listing walks it; finding the manifest does not."""

    kind: ContainerKind = "folder"

    def __init__(self, path: Path) -> None:
        self._path = path

    def members(self) -> list[Member]:
        members: list[Member] = []
        pending = [""]
        while pending:
            prefix = pending.pop()
            with os.scandir(self._path / prefix) as found:
                for item in sorted(found, key=lambda item: item.name):
                    name = prefix + item.name
                    if item.is_symlink():
                        members.append(Member(name, 0, False, True, None))
                    elif item.is_dir():
                        pending.append(f"{name}/")
                    elif item.is_file():
                        status = item.stat()
                        is_executable = bool(status.st_mode & stat.S_IXUSR)
                        members.append(Member(name, status.st_size, is_executable, False, None))
                    else:
                        raise _special(name, is_link=False)
        return members

    def chunks(self, member: Member) -> Iterator[bytes]:
        if member.is_link:
            raise _special(member.name, is_link=True)
        with (self._path / member.name).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def has_file(self, name: str) -> bool:
        return (self._path / name).is_file()

    def folders(self, prefix: str = "") -> list[str]:
        with os.scandir(self._path / prefix) as found:
            return sorted(prefix + item.name for item in found if item.is_dir())

    def read_head(self, name: str, max_bytes: int) -> bytes:
        path = self._path / name
        _check_head(name, path.stat().st_size, max_bytes)
        return path.read_bytes()

    def close(self) -> None:
        """Nothing is held open."""

    def __repr__(self) -> str:
        return f"FolderContainer({str(self._path)!r})"


def _chunks(file: IO[bytes], size_bytes: int) -> Iterator[bytes]:
    """Yield the content of an entry. Raises EOFError where its size is not the one that passed the limits."""
    done_bytes = 0
    while chunk := file.read(_CHUNK_BYTES):
        done_bytes += len(chunk)
        yield chunk
    if done_bytes != size_bytes:
        raise EOFError(f"it has {done_bytes} bytes in place of {size_bytes}")


def _folders(names: Iterable[str], prefix: str) -> list[str]:
    start = len(prefix)
    return sorted(
        {
            name[: name.index("/", start)]
            for name in names
            if name.startswith(prefix) and "/" in name[start:]
        }
    )


def _is_manifest(name: str) -> bool:
    """Return whether a manifest may lie there: at the top, or in a first-level folder."""
    if name in (MANIFEST_NAME, LEGACY_MANIFEST_NAME):
        return True
    return name.partition("/")[2] in (MANIFEST_NAME, LEGACY_MANIFEST_NAME)


def _is_root(name: str) -> bool:
    """Return whether a folder's name stands for the archive itself, as `tar -C folder .` writes it."""
    return not name.startswith("/") and all(part in ("", ".") for part in name.split("/"))


def _check_head(name: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise InvalidArchive(f"{name} has {size_bytes} bytes, {max_bytes} is the limit.")


def _special(name: str, is_link: bool) -> InvalidArchive:
    what = "a link" if is_link else "a device, pipe or socket"
    return InvalidArchive(
        f"The archive's entry {brief(name)} is {what}; only files and folders are unpacked."
    )
