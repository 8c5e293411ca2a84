"""Archives that nobody should unpack, one maker each, with the name that their refusal has to tell."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archive_building import HANDLER, manifest_json, write_tar, write_zip, write_zip_special

from archiver import Limits

GOOD = [("service.py", HANDLER), ("MAR-INF/MANIFEST.json", manifest_json())]
#: Small enough to be passed by files that are made in no time.
LIMITS = Limits(
    max_entries=50, max_total_bytes=4_000_000, max_ratio=50, ratio_applies_above_bytes=100_000
)
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Hostile:
    """`make` writes the archive at a path; the refusal matches `said`."""

    name: str
    make: Callable[[Path], object]
    said: str

    def __repr__(self) -> str:
        return self.name


def _zip(name: str, content: str | bytes = "evil") -> Callable[[Path], object]:
    return lambda path: write_zip(path, [*GOOD, (name, content)])


def _tar(name: str, **fields: object) -> Callable[[Path], object]:
    def make(path: Path) -> object:
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        return write_tar(path, [*_good_tar(), (info, b"")])

    return make


def _good_tar() -> list[tuple[tarfile.TarInfo | str, bytes]]:
    return [(name, content.encode()) for name, content in GOOD]


def _zip_of_kind(kind: int) -> Callable[[Path], object]:
    return lambda path: write_zip_special(path, "special", kind | 0o777, "/etc/passwd")


def _with_directory_field(
    name: str, offset: int, value: int, size: int
) -> Callable[[Path], object]:
    """A zip file in whose directory, not in the entry, a field of `name` has another value."""

    def make(path: Path) -> None:
        write_zip(path, [*GOOD, (name, "content")])
        data = bytearray(path.read_bytes())
        start = data.rindex(name.encode()) - 46
        data[start + offset : start + offset + size] = value.to_bytes(size, "little")
        path.write_bytes(data)

    return make


def _bzip2_bomb(path: Path) -> None:
    """Gigabytes by its content, a kilobyte by its directory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("bomb", b"\0" * 3_000_000)
    data = bytearray(path.read_bytes())
    start = data.rindex(b"bomb") - 46
    data[start + 24 : start + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(data)


def _overlapping(path: Path) -> None:
    """Many entries of the directory, one content."""
    write_zip(path, [("a0", "x" * 1000)])
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    directory = b"".join(entry.replace(b"a0", f"a{index}".encode()) for index in range(10))
    tail = bytearray(data[end:])
    struct.pack_into("<HHII", tail, 8, 10, 10, len(directory), start)
    path.write_bytes(data[:start] + directory + tail)


def _two_names(path: Path) -> None:
    """One name in the directory, another before the content."""
    write_zip(path, [*GOOD, ("innocent", "x")])
    path.write_bytes(path.read_bytes().replace(b"innocent", b"../../..", 1))


def _twice(path: Path) -> None:
    """zipfile itself warns of it when it writes."""
    write_zip(path, [*GOOD, ("servicf.py", "x")])
    path.write_bytes(path.read_bytes().replace(b"servicf", b"service"))


def _deep(path: Path) -> None:
    write_zip(path, [*GOOD, ("d/" * 1400 + "file", "x")])


def _folders_without_end(path: Path) -> None:
    write_zip(path, [(f"{index}/" + "d/" * 40 + "file", "x") for index in range(5)])


def _dots_without_end(path: Path) -> None:
    info = tarfile.TarInfo(".")
    info.type = tarfile.DIRTYPE
    write_tar(path, [(info, b"")] * 60)


def _compressed(path: Path, *blocks: bytes) -> None:
    path.write_bytes(gzip.compress(b"".join(blocks) + b"\0" * 2 * _BLOCK))


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % _BLOCK)


def _header(name: str, kind: bytes, size: int, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def _pax(kind: bytes, records: dict[str, str]) -> bytes:
    lines = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + len(str(len(rest) + 2))
        lines += str(length).encode() + rest
    return _header("././@PaxHeader", kind, len(lines)) + _padded(lines)


def _pax_path(kind: bytes) -> Callable[[Path], object]:
    return lambda path: _compressed(
        path,
        _pax(kind, {"path": "../evil"}),
        _header("innocent", tarfile.REGTYPE, 4),
        _padded(b"evil"),
    )


def _pax_flood(path: Path) -> None:
    record = _pax(tarfile.XHDTYPE, {"comment": "x" * 60_000})
    _compressed(path, record * 60, _header("file", tarfile.REGTYPE, 0))


def _long_names(path: Path) -> None:
    header = _header("././@LongLink", tarfile.GNUTYPE_LONGNAME, 4)
    _compressed(path, (header + _padded(b"name")) * 5000, _header("file", tarfile.REGTYPE, 0))


def _with_checksum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


def _gnu_sparse(path: Path) -> None:
    """A header that goes on for 200,000 holes, which tarfile gathers in memory."""
    header = bytearray(_header("holes", tarfile.GNUTYPE_SPARSE, 0))
    header[482] = 1
    header[483:495] = b"00000000017\0"
    more = bytearray((b"00000000001\0" * 42).ljust(_BLOCK, b"\0"))
    more[504] = 1
    last = bytearray(more)
    last[504] = 0
    _compressed(path, _with_checksum(header), bytes(more) * 10_000, bytes(last))


def _gnu_sparse_small(path: Path) -> None:
    header = bytearray(_header("holes", tarfile.GNUTYPE_SPARSE, 0))
    header[386:398] = header[398:410] = b"00000000001\0"
    header[483:495] = b"00000000017\0"
    _compressed(path, _with_checksum(header))


def _gnu_sparse_cut(path: Path) -> None:
    header = bytearray(_header("holes", tarfile.GNUTYPE_SPARSE, 0))
    header[482] = 1
    path.write_bytes(gzip.compress(_with_checksum(header)))


def _pax_sparse(path: Path) -> None:
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes"}
    _compressed(
        path,
        _pax(tarfile.XHDTYPE, records),
        _header("x", tarfile.REGTYPE, _BLOCK),
        _padded(b"1\n0\n4\n"),
        _padded(b"abcd"),
    )


def _pax_sparse_flood(path: Path) -> None:
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    _compressed(
        path,
        _pax(tarfile.XHDTYPE, records),
        _header("holes", tarfile.REGTYPE, 0),
        b"9999999999\n".ljust(_BLOCK, b"\n") + b"1\n" * 4_000_000,
    )


def _negative_size(path: Path) -> None:
    header = bytearray(_header("backwards", tarfile.REGTYPE, 0))
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"
    _compressed(path, _with_checksum(header))


def _cut(maker: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        maker(path)
        path.write_bytes(path.read_bytes()[:-60])

    return make


def _good_mar(path: Path) -> None:
    write_zip(path, GOOD)


def _good_tgz(path: Path) -> None:
    write_tar(path, _good_tar())


def _damaged(path: Path) -> None:
    write_zip(path, [*GOOD])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("weights", "content that changes")
    path.write_bytes(path.read_bytes().replace(b"content that changes", b"CONTENT that changes"))


def _bomb_tar(path: Path) -> None:
    write_tar(path, [("zeros", b"\0" * 3_000_000)])


def _manifest(text: str | bytes) -> Callable[[Path], object]:
    return lambda path: write_zip(path, [("MAR-INF/MANIFEST.json", text), ("service.py", "")])


def _legacy_manifests(path: Path) -> None:
    write_zip(path, [(f"{index}/MANIFEST.json", "{}") for index in range(20)])


def _nested_tar(path: Path) -> None:
    """Behind its end, where another reader goes on, a second archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("first"))
    path.write_bytes(gzip.compress(buffer.getvalue() + buffer.getvalue()))


_LINK, _PIPE = stat.S_IFLNK, stat.S_IFIFO
_DEVICE, _BLOCK_DEVICE, _SOCKET = stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK

HOSTILE = [
    Hostile("zip traversal", _zip("../evil"), r"'\.\./evil' leaves the archive"),
    Hostile("zip inner traversal", _zip("a/../../evil"), r"'a/\.\./\.\./evil' leaves"),
    Hostile("zip absolute", _zip("/tmp/evil"), "'/tmp/evil' has an absolute name"),
    Hostile("zip drive", _zip("C:/evil"), "'C:/evil' names a drive"),
    Hostile("zip drive relative", _zip("c:evil"), "'c:evil' names a drive"),
    Hostile("zip backslash", _zip("..\\evil"), r"'\.\.\\\\evil' has a backslash"),
    Hostile("zip share", _zip("\\\\host\\share\\evil"), "has a backslash"),
    Hostile("zip null", _zip("a\0.py"), r"'a\\x00\.py' has a control character"),
    Hostile("zip line", _zip("a\nb"), r"'a\\nb' has a control character"),
    Hostile("zip long part", _zip("n" * 256), "'nnnn.*has too long a name"),
    Hostile("zip deep", _deep, r"'d/d/.*lies below more than 99 folders"),
    Hostile("zip folders", _folders_without_end, "more than 50 folders .*'1/d/"),
    Hostile("zip link", _zip_of_kind(_LINK), "'special' is a link"),
    Hostile("zip pipe", _zip_of_kind(_PIPE), "'special' is a device"),
    Hostile("zip device", _zip_of_kind(_DEVICE), "'special' is a device"),
    Hostile("zip disk", _zip_of_kind(_BLOCK_DEVICE), "'special' is a device"),
    Hostile("zip socket", _zip_of_kind(_SOCKET), "'special' is a device"),
    Hostile("zip twice", _twice, r"two entries named 'service\.py'"),
    Hostile("zip twice dotted", _zip("./service.py"), r"two entries named 'service\.py'"),
    Hostile("zip file as folder", _zip("service.py/x"), r"'service\.py' both as a file and"),
    Hostile("zip ratio", _zip("zeros", b"\0" * 3_000_000), "more than 50 times .*'zeros'"),
    Hostile(
        "zip total",
        lambda path: write_zip(path, [("half", b"\0" * 2**21), ("more", b"\0" * 2**21)]),
        "more than .*'(half|more)'",
    ),
    Hostile(
        "zip count",
        lambda path: write_zip(path, [(f"f{index}", "") for index in range(60)]),
        "more than 50 entries .*'f50'",
    ),
    Hostile("zip bzip2", _bzip2_bomb, "'bomb' is compressed by method 12"),
    Hostile("zip overlap", _overlapping, r"'a\d' overlaps another one"),
    Hostile("zip encrypted", _with_directory_field("x.bin", 8, 1, 2), "'x.bin' is encrypted"),
    Hostile("zip aes", _with_directory_field("x.bin", 8, 0x41, 2), "'x.bin' is encrypted"),
    Hostile("zip method", _with_directory_field("x.bin", 10, 99, 2), "'x.bin' is compr.* 99"),
    Hostile("zip less", _with_directory_field("x.bin", 24, 3, 4), "'x.bin' .*is damaged"),
    Hostile("zip more", _with_directory_field("x.bin", 24, 9000, 4), "'x.bin' .*is damaged"),
    Hostile("zip nowhere", _with_directory_field("x.bin", 42, 2**31, 4), "'x.bin' .*is dam"),
    Hostile("zip two names", _two_names, "'innocent' .*is damaged"),
    Hostile("zip checksum", _damaged, "'weights' .*is damaged"),
    Hostile("zip cut", _cut(_good_mar), "archive is damaged or incomplete"),
    Hostile("zip legacies", _legacy_manifests, "more than 16 folders with a MANIFEST"),
    Hostile("tar traversal", _tar("../evil"), r"'\.\./evil' leaves the archive"),
    Hostile("tar parent", _tar("..", type=tarfile.DIRTYPE), r"'\.\.' leaves the archive"),
    Hostile("tar absolute", _tar("/tmp/evil"), "'/tmp/evil' has an absolute name"),
    Hostile("tar drive", _tar("C:/evil"), "'C:/evil' names a drive"),
    Hostile("tar backslash", _tar("..\\evil"), r"'\.\.\\\\evil' has a backslash"),
    Hostile("tar line", _tar("a\nb"), r"'a\\nb' has a control character"),
    Hostile("tar no text", _tar("a\udcff"), "has a name that is not UTF-8"),
    Hostile("tar link", _tar("l", type=tarfile.SYMTYPE, linkname="/etc"), "'l' is a link"),
    Hostile("tar hard link", _tar("l", type=tarfile.LNKTYPE, linkname="service.py"), "'l' is a li"),
    Hostile("tar pipe", _tar("p", type=tarfile.FIFOTYPE), "'p' is a device"),
    Hostile("tar device", _tar("p", type=tarfile.CHRTYPE), "'p' is a device"),
    Hostile("tar disk", _tar("p", type=tarfile.BLKTYPE), "'p' is a device"),
    Hostile("tar unknown", _tar("p", type=b"Z"), "'p' is a device"),
    Hostile("tar twice", _tar("service.py"), r"two entries named 'service\.py'"),
    Hostile("tar file as folder", _tar("service.py/x"), r"'service\.py' both as a file and"),
    Hostile("tar ratio", _bomb_tar, "more than 50 times .*'zeros'"),
    Hostile("tar dots", _dots_without_end, "more than 50 entries"),
    Hostile("tar pax path", _pax_path(tarfile.XHDTYPE), r"'\.\./evil' leaves the archive"),
    Hostile("tar pax headers", _pax_flood, "headers of more than 1048576 bytes"),
    Hostile("tar long names", _long_names, "headers of more than|damaged"),
    Hostile("tar holes", _gnu_sparse_small, "'holes' is a sparse file"),
    Hostile("tar holes without end", _gnu_sparse, "headers of more than 1048576 bytes"),
    Hostile("tar holes cut", _gnu_sparse_cut, "is damaged or incomplete"),
    Hostile("tar pax holes", _pax_sparse, "'holes' is a sparse file"),
    Hostile("tar pax holes without end", _pax_sparse_flood, "headers of more than|damaged"),
    Hostile("tar negative", _negative_size, "'backwards' has a negative size"),
    Hostile("tar cut", _cut(_good_tgz), "damaged or incomplete"),
    Hostile("tar in a tar", _nested_tar, "damaged after its entry number 1"),
    Hostile("no archive", lambda path: path.write_bytes(b"#!/bin/sh"), "is not a model archive"),
    Hostile("empty", lambda path: path.write_bytes(b""), "is not a model archive"),
    Hostile(
        "manifest long",
        _manifest(b" " * (4 * 2**20 + 1)),
        r"'MAR-INF/MANIFEST\.json'",
    ),
    Hostile("manifest deep", _manifest("[" * 90_000), r"Failed to parse signature\.json"),
    Hostile("manifest list", _manifest("[]"), r"Failed to parse signature\.json"),
    Hostile("manifest text", _manifest(b"\xff\xfe\0"), r"Failed to parse signature\.json"),
    Hostile(
        "manifest of wrong types",
        _manifest('{"model": {"modelName": 5, "handler": {}}}'),
        r"Failed to parse signature\.json",
    ),
]
