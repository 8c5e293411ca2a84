"""Which files of a model folder go into its archive, and in which order."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archiver.errors import InvalidArchive, PackError
from archiver.reading.names import checked_name

UNWANTED_FOLDERS: Final = frozenset({"__MACOSX", "__pycache__"})
# Left out even with hidden files in: nobody serves them, and they hold more than the working files show.
_VERSION_CONTROL_FOLDERS: Final = frozenset({".git", ".hg", ".svn"})
UNWANTED_SUFFIXES: Final = (".pyc", ".DS_Store", ".mar")
# The archiver writes the manifest itself; a second one, at any depth, would be taken for a legacy archive's.
UNWANTED_FILES: Final = frozenset({"MANIFEST.json"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to pack. `name` is its place in the archive, with "/" between its parts."""

    name: str
    path: Path
    size_bytes: int
    is_executable: bool


@dataclass(frozen=True, slots=True)
class Selection:
    files: list[SourceFile]
    unused_patterns: list[str]
    #: Names of files and folders that were left out for the dot that they begin with; folders end with "/".
    hidden: list[str]

    @property
    def total_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def select_files(
    folder: Path,
    *,
    include_hidden: bool = False,
    exclude: Sequence[str] = (),
    leave_out: Collection[Path] = (),
) -> Selection:
    """Return the files below `folder` that belong into its archive, sorted by name.

    `exclude`: shell patterns. One without "/" is matched against every file and folder name, one with "/" against the
    path from `folder` on, where `*` reaches over "/" too. A folder that matches goes with all it holds.
    `leave_out`: paths that are passed over, such as an output that lies inside the folder.

    Raises PackError for symbolic links, devices, and names that no archive may have, and OSError.
    """
    exclusion = _Exclusion(exclude)
    left_out = {os.path.abspath(path) for path in leave_out}
    files: list[SourceFile] = []
    hidden: list[str] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as found:
            for item in found:
                name = prefix + item.name
                if os.path.abspath(item.path) in left_out:
                    continue
                is_folder = item.is_dir(follow_symlinks=False)
                if _is_unwanted(item.name, is_folder) or exclusion.covers(name, item.name):
                    continue
                if not include_hidden and item.name.startswith("."):
                    hidden.append(f"{name}/" if is_folder else name)
                    continue
                if item.is_symlink():
                    raise PackError(
                        f"{name} is a symbolic link to {os.readlink(item.path)}. Put the file itself in its place, "
                        "or leave it out with --exclude."
                    )
                if is_folder:
                    pending.append(f"{name}/")
                    continue
                files.append(_source_file(name, Path(item.path)))
    files.sort(key=lambda file: file.name)
    return Selection(files, exclusion.unused, sorted(hidden))


def _is_unwanted(name: str, is_folder: bool) -> bool:
    if is_folder:
        return name in UNWANTED_FOLDERS or name in _VERSION_CONTROL_FOLDERS
    return name in UNWANTED_FILES or name.endswith(UNWANTED_SUFFIXES)


def _source_file(name: str, path: Path) -> SourceFile:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise PackError(f"{name} is a device, pipe or socket; only files and folders are packed.")
    try:
        checked_name(name)
    except InvalidArchive as error:
        raise PackError(f"{error} Rename it, or leave it out with --exclude.") from None
    return SourceFile(name, path, status.st_size, bool(status.st_mode & stat.S_IXUSR))


class _Exclusion:
    """The patterns of one selection, and which of them have matched nothing yet."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [(pattern, pattern.strip("/").removeprefix("./")) for pattern in patterns]
        self._used: set[str] = set()

    def covers(self, name: str, last_part: str) -> bool:
        is_covered = False
        for pattern, cleaned in self._patterns:
            target = name if "/" in cleaned else last_part
            if fnmatch.fnmatchcase(target, cleaned):
                self._used.add(pattern)
                is_covered = True
        return is_covered

    @property
    def unused(self) -> list[str]:
        return [pattern for pattern, _ in self._patterns if pattern not in self._used]
