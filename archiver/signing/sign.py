"""Signing archives: the list of their files, signed and put where a server finds it."""

from __future__ import annotations

import copy
import os
import shutil
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from archiver.errors import InvalidArchive
from archiver.packing.writers import tar_info, written_beside, zip_info
from archiver.reading.limits import DEFAULT_LIMITS, Limits
from archiver.reading.names import checked_name
from archiver.reading.unpack import Archive
from archiver.signing.signature import DETACHED_SUFFIX, SIGNATURE_NAME, InvalidSignature, Signature
from mms.text.brief import brief

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign(
    path: str | os.PathLike[str],
    key: Ed25519PrivateKey,
    *,
    is_detached: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Signature, Path]:
    """Signs the files of an archive, and returns the signature and the file that holds it.

    It goes into the archive, which is written anew beside its place and renamed, or with `is_detached` into
    `<path>.sig`. The signatures of others stay while the files are those that they signed. Raises InvalidArchive (also
    for links in a folder), OSError.
    """
    path = Path(os.path.abspath(path))
    with Archive.open(path, limits=limits) as archive:
        entries = _digests(archive)
        signature = _with_others(archive, Signature.over(entries)).signed_by(key)
        content, kind = signature.to_bytes(), archive.kind
        name = f"{archive.root}/{SIGNATURE_NAME}" if archive.root else SIGNATURE_NAME
    if is_detached:
        target = path.with_name(path.name + DETACHED_SUFFIX)
        with written_beside(target) as file:
            file.write(content)
        return signature, target
    if kind == "folder":
        target = path / name
        target.parent.mkdir(exist_ok=True)
        with written_beside(target) as file:
            file.write(content)
        return signature, target
    with written_beside(path) as file:
        if kind == "mar":
            _copy_zip(path, file, name, content)
        else:
            _copy_tar(path, file, name, content)
        file.flush()
        # Before it takes the archive's place.
        with Archive.open(file.name, limits=limits) as written:
            signature.check_names(entry.name for entry in written.entries)
    return signature, path


def _digests(archive: Archive) -> dict[str, str]:
    digests: dict[str, str] = {}
    for entry, sha256 in archive.hashed_entries():
        if sha256 is None:
            raise InvalidArchive(
                f"{brief(entry.name)} is a link; what it leads to cannot be signed."
            )
        if entry.name != SIGNATURE_NAME:
            # Of a folder, whose names nobody has looked at yet.
            digests[checked_name(entry.name)] = sha256
    return digests


def _with_others(archive: Archive, signature: Signature) -> Signature:
    """Return `signature` with those who have signed the same list already."""
    try:
        for other in archive.signatures():
            if other.signed_bytes() == signature.signed_bytes():
                signature = Signature(signature.entries, {**other.signers, **signature.signers})
    except InvalidSignature:
        # What nobody can check is replaced.
        return signature
    return signature


def _copy_zip(path: Path, output: BinaryIO, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as source:
        is_signed = name in source.NameToInfo
        if is_signed:
            with zipfile.ZipFile(output, "w") as target:
                for info in source.infolist():
                    if info.filename != name:
                        _copy_entry(source, info, target)
    if not is_signed:
        # As it is, byte for byte, with the signature behind it.
        with path.open("rb") as file:
            shutil.copyfileobj(file, output)
    with zipfile.ZipFile(output, "a") as target:
        target.writestr(zip_info(name, 0o644, len(content)), content)


def _copy_entry(source: zipfile.ZipFile, info: zipfile.ZipInfo, target: zipfile.ZipFile) -> None:
    # A copy, as writing changes sizes and places in it.
    with source.open(info) as content, target.open(copy.copy(info), "w") as output:
        shutil.copyfileobj(content, output)


def _copy_tar(path: Path, output: BinaryIO, name: str, content: bytes) -> None:
    # Imported here because most archives are zip files.
    import gzip
    import io
    import tarfile

    with (
        tarfile.open(path, "r:gz", encoding="utf-8") as source,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=output, mtime=0) as stream,
        tarfile.TarFile(
            fileobj=cast(IO[bytes], stream), mode="w", format=tarfile.PAX_FORMAT
        ) as target,
    ):
        for info in source:
            if os.path.normpath(info.name) != name:
                target.addfile(info, source.extractfile(info) if info.isreg() else None)
        target.addfile(tar_info(name, 0o644, len(content)), io.BytesIO(content))
