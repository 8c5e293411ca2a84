"""Opening archives and unpacking them: what they hold, and safe extraction that leaves all or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from archiver.errors import InvalidArchive
from archiver.manifest import (
    LEGACY_MANIFEST_NAME,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
)
from archiver.progress import Progress
from archiver.reading.containers import Container, ContainerKind, Member, open_container
from archiver.reading.limits import DEFAULT_LIMITS, Budget, Limits
from archiver.reading.names import NameTree, case_collisions
from archiver.signing.signature import (
    DETACHED_SUFFIX,
    SIGNATURE_NAME,
    InvalidSignature,
    Signature,
    most_bytes,
)
from mms.text.brief import brief

if TYPE_CHECKING:
    from archiver.signing.keys import TrustedKeys

# Each is read whole, and in a .tar.gz may mean unpacking everything before it again.
_MAX_LEGACY_CANDIDATES = 16
#: Where a misplaced manifest is looked for: as deep, and in as many folders.
_MAX_MISPLACED_LEVELS = 4
_MAX_MISPLACED_FOLDERS = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive. `name` is relative to the archive's root, with "/" between its parts."""

    name: str
    size_bytes: int
    is_executable: bool
    is_link: bool
    _archive: Archive = field(repr=False, compare=False)

    def sha256(self) -> str:
        """Return the SHA-256 of the unpacked content, in hexadecimal. Reads the file. Raises InvalidArchive."""
        digest = hashlib.sha256()
        for chunk in self._archive.chunks(self.name):
            digest.update(chunk)
        return digest.hexdigest()


class Archive:
    """An opened archive: a `.mar` or `.model` file, a `.tar.gz`, or a folder of the same layout.

    Use it as a context manager, or call `close`. Not to be shared between threads.
    """

    def __init__(self, path: Path, container: Container, limits: Limits) -> None:
        self.path = path
        self._container = container
        self._limits = limits
        self._layout = _find_layout(container)
        self._manifest: Manifest | None = None
        self._has_read_manifest = False
        self._members: dict[str, Member] | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Archive:
        """Opens what is at `path`, whatever its name ends in.

        Raises InvalidArchive for what must not or cannot be unpacked (a folder is only judged when it is listed or
        extracted), and OSError where the file cannot be read.
        """
        path = Path(path)
        container = open_container(path, limits)
        try:
            return cls(path, container, limits)
        except BaseException:
            container.close()
            raise

    @property
    def kind(self) -> ContainerKind:
        """`mar` for a zip file, `tgz` for a gzipped tar file, `folder`."""
        return self._container.kind

    @property
    def root(self) -> str:
        """Where in the container the archive begins: "" or a first-level folder."""
        return self._layout.prefix.rstrip("/")

    @property
    def misplaced_manifest(self) -> str | None:
        """The folder that holds the manifest of an archive that has none in its place; the topmost one, if any.

        Looks a few levels deep, and no further than the first few hundred folders.
        """
        if self._layout.manifest_name is not None:
            return None
        level, looked_at = self._container.folders(), 0
        for _ in range(_MAX_MISPLACED_LEVELS):
            for folder in level:
                looked_at += 1
                if self._container.has_file(f"{folder}/{MANIFEST_NAME}"):
                    return folder
                if looked_at == _MAX_MISPLACED_FOLDERS:
                    return None
            room = _MAX_MISPLACED_FOLDERS - looked_at
            try:
                level = [
                    inner
                    for folder in level[:room]
                    for inner in self._container.folders(f"{folder}/")
                ]
            except OSError:
                # A folder that may not be read: this is a hint, and no more.
                return None
        return None

    @property
    def is_legacy(self) -> bool:
        return self._layout.is_legacy

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, read at first use, or None where there is none. Raises InvalidManifest, InvalidArchive."""
        if not self._has_read_manifest:
            name = self._layout.manifest_name
            if name is not None:
                data = self._container.read_head(name, MAX_MANIFEST_BYTES)
                self._manifest = (
                    Manifest.parse_legacy(data) if self.is_legacy else Manifest.parse(data)
                )
            self._has_read_manifest = True
        return self._manifest

    @property
    def entries(self) -> list[Entry]:
        """The files, sorted by name. A folder is walked for it, once. Raises InvalidArchive."""
        return [self._entry(name, member) for name, member in sorted(self._by_name().items())]

    def hashed_entries(self) -> list[tuple[Entry, str | None]]:
        """Return each entry with its SHA-256, sorted by name. The archive is read once; links have no hash.

        Raises InvalidArchive where an entry is damaged.
        """
        hashed = []
        for name, member in self._by_name().items():
            entry = self._entry(name, member)
            hashed.append((entry, None if member.is_link else entry.sha256()))
        return sorted(hashed, key=lambda pair: pair[0].name)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return the content of one entry. Raises KeyError, and InvalidArchive when it is larger than `max_bytes`."""
        member = self._by_name()[name]
        return self._container.read_head(member.name, max_bytes)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield one entry's content in pieces of at most a mebibyte. Raises KeyError, InvalidArchive for damage."""
        return self._container.chunks(self._by_name()[name])

    def signatures(self) -> list[Signature]:
        """Return the signatures in the archive and beside it, whoever has signed. Raises InvalidSignature, OSError."""
        most = most_bytes(self._by_name())
        found = []
        if SIGNATURE_NAME in self._by_name():
            found.append(Signature.parse(self.read(SIGNATURE_NAME, max_bytes=most)))
        beside = Path(os.path.abspath(self.path) + DETACHED_SUFFIX)
        try:
            with beside.open("rb") as file:
                data = file.read(most + 1)
        except (FileNotFoundError, IsADirectoryError):
            return found
        if len(data) > most:
            raise InvalidSignature(f"{beside.name} is longer than a signature of this archive.")
        return [*found, Signature.parse(data)]

    def trusted_signature(self, trusted: TrustedKeys) -> tuple[Signature, str]:
        """Return the signature of a trusted key, and the key's id. Names are compared, content is not read.

        Raises InvalidSignature where there is none, and for names that it does not list or that are missing.
        """
        signatures = self.signatures()
        if not signatures:
            raise InvalidSignature("The archive is not signed.")
        fault: InvalidSignature | None = None
        for signature in signatures:
            try:
                identity = signature.check_signers(trusted)
                signature.check_names(self._by_name())
            except InvalidSignature as error:
                fault = fault or error
            else:
                return signature, identity
        assert fault is not None
        raise fault

    def case_collisions(self) -> list[tuple[str, str]]:
        """Return pairs of names that differ in case alone: one path on file systems such as macOS's."""
        return case_collisions(self._by_name())

    def extract(
        self,
        dest: str | os.PathLike[str],
        limits: Limits | None = None,
        *,
        progress: Progress | None = None,
        trusted: TrustedKeys | None = None,
    ) -> Path:
        """Unpacks everything into the new folder `dest`, whose parent must exist; returns it.

        The content of a legacy archive's first-level folder moves to the top. Files are written to a folder beside
        `dest` that is renamed at the end, so that `dest` is whole or absent. With `trusted` it holds what one of these
        keys has signed, to the byte, also when the archive changes meanwhile. Raises InvalidArchive (links, clashes,
        names that differ in case alone, damage, limits), InvalidSignature, FileExistsError, OSError.
        """
        target = Path(dest)
        if os.path.lexists(target):
            raise FileExistsError(f"{target} exists already")
        members = self._by_name()
        self._check_members(members, limits or self._limits)
        signature = None if trusted is None else self.trusted_signature(trusted)[0]
        work = target.parent / f".unpacking-{os.urandom(6).hex()}"
        work.mkdir()
        try:
            self._write_all(members, work, progress, signature)
            work.rename(target)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        return target

    def _write_all(
        self,
        members: dict[str, Member],
        work: Path,
        progress: Progress | None,
        signature: Signature | None,
    ) -> None:
        total_bytes = sum(member.size_bytes for member in members.values())
        done_bytes = 0
        for name, member in members.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # O_EXCL: should two names meet on one path after all, neither overwrites the other.
            mode = 0o777 if member.is_executable else 0o666
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            except FileExistsError:
                raise InvalidArchive(
                    f"The archive's entry {brief(name)} has the path of another one on this file system."
                ) from None
            digest = hashlib.sha256() if signature is not None else None
            with os.fdopen(descriptor, "wb") as output:
                for chunk in self._container.chunks(member):
                    output.write(chunk)
                    if digest is not None:
                        digest.update(chunk)
                    done_bytes += len(chunk)
                    if progress is not None:
                        progress(done_bytes, total_bytes, name)
            if signature is not None and digest is not None:
                signature.check_content(name, digest.hexdigest())

    def _check_members(self, members: dict[str, Member], limits: Limits) -> None:
        archive_bytes = self.path.stat().st_size if self.path.is_file() else None
        if archive_bytes is not None and limits is not self._limits:
            budget = Budget(limits, archive_bytes)
            for name, member in members.items():
                budget.count(name, member.size_bytes)
        for name, member in members.items():
            if member.is_link:
                raise InvalidArchive(
                    f"{brief(name)} is a symbolic link; only files and folders are unpacked."
                )
        # Here, too, where the file system tells them apart: an archive means the same everywhere, or is none.
        for first, second in case_collisions(members):
            raise InvalidArchive(
                f"The archive's names {brief(first)} and {brief(second)} are one path where file systems ignore case."
            )

    def _by_name(self) -> dict[str, Member]:
        """Return members by their name below the root, in the container's order."""
        if self._members is None:
            prefix = self._layout.prefix
            members: dict[str, Member] = {}
            tree = NameTree()
            for member in self._container.members():
                name = member.name
                if prefix and name.startswith(prefix):
                    name = name[len(prefix) :]
                tree.add_file(name)
                members[name] = member
            self._members = members
        return self._members

    def _entry(self, name: str, member: Member) -> Entry:
        return Entry(name, member.size_bytes, member.is_executable, member.is_link, self)

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r}, kind={self.kind!r}, root={self.root!r}, is_legacy={self.is_legacy})"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where an archive's root and manifest lie in its container. `prefix` is "" or ends with "/"."""

    prefix: str
    manifest_name: str | None
    is_legacy: bool


def _find_layout(container: Container) -> _Layout:
    if container.has_file(MANIFEST_NAME):
        return _Layout("", MANIFEST_NAME, is_legacy=False)
    if container.has_file(LEGACY_MANIFEST_NAME):
        return _Layout("", LEGACY_MANIFEST_NAME, is_legacy=True)
    folders = container.folders()
    if container.kind in ("tgz", "folder") and len(folders) == 1:
        # The archivers of MMS and TorchServe put everything below a folder of the model's name in a tar file, and where
        # that is unpacked as it is, there is such a folder.
        prefix = f"{folders[0]}/"
        if container.has_file(prefix + MANIFEST_NAME):
            return _Layout(prefix, prefix + MANIFEST_NAME, is_legacy=False)
    candidates = [
        folder for folder in folders if container.has_file(f"{folder}/{LEGACY_MANIFEST_NAME}")
    ]
    if len(candidates) > _MAX_LEGACY_CANDIDATES:
        raise InvalidArchive(
            f"The archive has no {MANIFEST_NAME}, and more than {_MAX_LEGACY_CANDIDATES} folders with a "
            f"{LEGACY_MANIFEST_NAME}, the last one {brief(candidates[-1])}."
        )
    legacy = [folder for folder in candidates if _has_legacy_manifest(container, folder)]
    if len(legacy) > 1:
        names = ", ".join(f"{folder}/{LEGACY_MANIFEST_NAME}" for folder in legacy)
        raise InvalidArchive(f"The archive has more than one legacy manifest: {names}.")
    if legacy:
        prefix = f"{legacy[0]}/"
        return _Layout(prefix, prefix + LEGACY_MANIFEST_NAME, is_legacy=True)
    return _Layout("", None, is_legacy=False)


def _has_legacy_manifest(container: Container, folder: str) -> bool:
    """Return whether `folder` holds a legacy manifest, and not another tool's file of that name."""
    name = f"{folder}/{LEGACY_MANIFEST_NAME}"
    try:
        document = json.loads(container.read_head(name, MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError, InvalidArchive):
        return False
    return isinstance(document, dict) and isinstance(document.get("Model"), dict)
