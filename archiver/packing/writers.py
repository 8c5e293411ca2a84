"""Writing an archive's three formats: the same files give the same bytes, and a failure leaves nothing behind."""

from __future__ import annotations

import io
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple

from archiver.errors import PackError
from archiver.manifest import MANIFEST_NAME
from archiver.packing.selection import Selection, SourceFile, select_files
from archiver.progress import Progress
from archiver.reading.names import case_collisions

if TYPE_CHECKING:
    import tarfile

ArchiveFormat = Literal["default", "tgz", "no-archive"]
Warn = Callable[[str], None]

#: Of more hidden files only so many are named.
_MAX_NAMED: Final = 5
_CHUNK_BYTES: Final = 1024 * 1024
_COMPRESSION_LEVEL: Final = 6
# The first moment that a zip file can express, and the same one for tar files.
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
_TAR_TIME_S: Final = 315_532_800


def write_archive(
    model_path: str,
    target: str,
    *,
    model_name: str,
    manifest_text: str,
    archive_format: ArchiveFormat,
    include_hidden: bool = False,
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> None:
    """Writes the archive of `model_path` to `target`, over what is there. Raises PackError, OSError."""
    manifest_bytes = manifest_text.encode()
    folder = Path(model_path)
    if archive_format == "no-archive" and _is_same_folder(folder, Path(target)):
        _write_manifest_in_place(folder, manifest_bytes)
        return
    selection = select_files(
        folder, include_hidden=include_hidden, exclude=exclude, leave_out=(Path(target),)
    )
    if warn is not None:
        for pattern in selection.unused_patterns:
            warn(f"--exclude {pattern} matches no file")
        if selection.hidden:
            warn(_hidden_text(selection.hidden))
    folder_of_manifest = MANIFEST_NAME.partition("/")[0]
    if any(file.name == folder_of_manifest for file in selection.files):
        raise PackError(
            f"{folder_of_manifest} is a file, but the folder of the manifest has that name. Rename it, or leave it out "
            "with --exclude."
        )
    if archive_format == "no-archive":
        report = _Report(selection, progress)
        manifest = SourceManifest(MANIFEST_NAME, manifest_bytes)
        _write_folder(folder, Path(target), selection, manifest, report)
        return
    write_selection(
        selection,
        target,
        SourceManifest(MANIFEST_NAME, manifest_bytes),
        model_name=model_name,
        archive_format=archive_format,
        progress=progress,
    )


class SourceManifest(NamedTuple):
    """The manifest of an archive to write. `name`: its place there."""

    name: str
    content: bytes


def write_selection(
    selection: Selection,
    target: str,
    manifest: SourceManifest,
    *,
    model_name: str,
    archive_format: ArchiveFormat,
    is_compressed: bool = True,
    progress: Progress | None = None,
) -> None:
    """Write an archive of files from wherever they lie to `target`, over what is there. Raises PackError, OSError.

    `is_compressed`: of a zip file, its entries.
    """
    report = _Report(selection, progress)
    if archive_format == "no-archive":
        _write_folder(None, Path(target), selection, manifest, report)
        return
    for first, second in case_collisions([manifest.name, *(file.name for file in selection.files)]):
        raise PackError(
            f"{first} and {second} differ in case alone, so that no server unpacks an archive with both. Rename one, "
            "or leave it out with --exclude."
        )
    if archive_format == "tgz":
        with written_beside(Path(target)) as file:
            _write_tar(file, selection, manifest, model_name, report)
    else:
        with written_beside(Path(target)) as file:
            _write_zip(file, selection, manifest, report, is_compressed=is_compressed)


def _hidden_text(hidden: Sequence[str]) -> str:
    named = ", ".join(hidden[:_MAX_NAMED])
    if len(hidden) > _MAX_NAMED:
        named += f" and {len(hidden) - _MAX_NAMED} more"
    return f"hidden files are left out: {named}; --include-hidden packs them"


class _Report:
    """Adds up what was read and tells the caller's callback."""

    def __init__(self, selection: Selection, progress: Progress | None) -> None:
        self._progress = progress
        self._total_bytes = selection.total_bytes
        self._done_bytes = 0

    def add(self, size_bytes: int, name: str) -> None:
        self._done_bytes += size_bytes
        if self._progress is not None:
            self._progress(self._done_bytes, self._total_bytes, name)


def _mode(file: SourceFile) -> int:
    return 0o755 if file.is_executable else 0o644


def _copy(file: SourceFile, output: IO[bytes], report: _Report) -> None:
    with file.path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            output.write(chunk)
            report.add(len(chunk), file.name)


def _write_zip(
    output: BinaryIO,
    selection: Selection,
    manifest: SourceManifest,
    report: _Report,
    *,
    is_compressed: bool,
) -> None:
    with zipfile.ZipFile(output, "w") as archive:
        for file in selection.files:
            info = zip_info(file.name, _mode(file), file.size_bytes)
            if not is_compressed:
                info.compress_type = zipfile.ZIP_STORED
            with archive.open(info, "w") as entry:
                _copy(file, entry, report)
        with archive.open(zip_info(manifest.name, 0o644, len(manifest.content)), "w") as entry:
            entry.write(manifest.content)


def zip_info(name: str, mode: int, size_bytes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.create_system = 3  # Unix, on every system, so that the modes count and the bytes agree
    info.external_attr = (stat.S_IFREG | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = size_bytes
    return info


def _write_tar(
    output: BinaryIO,
    selection: Selection,
    manifest: SourceManifest,
    model_name: str,
    report: _Report,
) -> None:
    # Imported here because most archives are zip files.
    import gzip
    import tarfile

    with (
        gzip.GzipFile(
            filename="", mode="wb", compresslevel=_COMPRESSION_LEVEL, fileobj=output, mtime=0
        ) as stream,
        tarfile.TarFile(
            fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, copybufsize=_CHUNK_BYTES
        ) as archive,
    ):
        for file in selection.files:
            info = tar_info(f"{model_name}/{file.name}", _mode(file), file.size_bytes)
            with file.path.open("rb") as source:
                archive.addfile(info, _Counted(source, file.name, report))
        info = tar_info(f"{model_name}/{manifest.name}", 0o644, len(manifest.content))
        archive.addfile(info, io.BytesIO(manifest.content))


def tar_info(name: str, mode: int, size_bytes: int) -> tarfile.TarInfo:
    import tarfile

    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = mode
    info.mtime = _TAR_TIME_S
    return info


class _Counted(io.RawIOBase):
    """A file that reports what is read from it."""

    def __init__(self, file: IO[bytes], name: str, report: _Report) -> None:
        self._file = file
        self._name = name
        self._report = report

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._report.add(len(data), self._name)
        return data


def _write_folder(
    source: Path | None,
    target: Path,
    selection: Selection,
    manifest: SourceManifest,
    report: _Report,
) -> None:
    # A link to a folder is followed, so that the folder behind it is what gets replaced.
    target = target.resolve()
    _check_replaceable(source, target)
    work = _free_name(target)
    work.mkdir()
    try:
        for file in selection.files:
            path = work / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _mode(file))
            with os.fdopen(descriptor, "wb") as output:
                _copy(file, output, report)
        _write_manifest_in_place(work, manifest.content)
        _move_into_place(work, target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _check_replaceable(source: Path | None, target: Path) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise PackError(f"{target} exists and is not a folder; it is not replaced.")
    if source is not None and source.resolve().is_relative_to(target):
        raise PackError(f"{target} holds the model-path {source} itself; it is not replaced.")
    if not (target / MANIFEST_NAME).is_file() and any(target.iterdir()):
        raise PackError(
            f"{target} exists and has no {MANIFEST_NAME}, so it may not be a model; it is not "
            "replaced. Remove it, or take another name or export-path."
        )


def _move_into_place(work: Path, target: Path) -> None:
    """Renames the folder `work` to `target`; what is there goes, but not before the new one can take its place."""
    if not os.path.lexists(target):
        work.rename(target)
        return
    old = _free_name(target)
    target.rename(old)
    try:
        work.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _write_manifest_in_place(folder: Path, manifest: bytes) -> None:
    path = folder / MANIFEST_NAME
    path.parent.mkdir(exist_ok=True)
    with written_beside(path) as file:
        file.write(manifest)


def _is_same_folder(first: Path, second: Path) -> bool:
    return second.is_dir() and os.path.samefile(first, second)


def _free_name(target: Path) -> Path:
    return target.with_name(f".packing-{os.urandom(6).hex()}")


@contextmanager
def written_beside(target: Path) -> Iterator[BinaryIO]:
    """Yield a new file that becomes `target` when the block ends well and is removed when it does not."""
    if target.is_dir():
        raise PackError(f"{target} is a folder; it is not replaced.")
    work = _free_name(target)
    try:
        with work.open("x+b") as file:
            yield file
            file.flush()
            # So that after a power failure the name stands for the old file or for the whole new one.
            os.fsync(file.fileno())
        work.replace(target)
    except BaseException:
        work.unlink(missing_ok=True)
        raise
