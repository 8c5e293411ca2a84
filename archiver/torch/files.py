"""The files that TorchServe's archivers put together, from wherever they lie."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from archiver.errors import InvalidArchive, PackError
from archiver.packing.selection import UNWANTED_FOLDERS, Selection, SourceFile
from archiver.reading.names import checked_name

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_\-.]*$"


class FilesToPack:
    """Files by their names in the archive; a later one takes the place of an earlier one of its name."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._files: dict[str, SourceFile] = {}
        self._warn = warn

    def __repr__(self) -> str:
        return f"<FilesToPack {', '.join(self._files)}>"

    def add(self, path: str, name: str | None = None) -> None:
        """Add a file by its own name at the root of the archive. Raises PackError and OSError."""
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise PackError(f"{path} is no file.")
        name = name or os.path.basename(path)
        try:
            checked_name(name)
        except InvalidArchive as error:
            raise PackError(f"{error} Rename it.") from None
        is_executable = bool(status.st_mode & stat.S_IXUSR)
        self._files[name] = SourceFile(name, Path(path), status.st_size, is_executable)

    def add_extra(self, listed: str) -> None:
        """Add what a list with commas between its parts names: files, patterns, and folders, whose content is meant.

        Raises PackError and OSError.
        """
        for part in listed.split(","):
            is_pattern = "*" in part or "?" in part or ("[" in part and "]" in part)
            if not is_pattern and not os.path.exists(part.strip()):
                raise PackError(f"File does not exist: {part}")
            found = sorted(glob.glob(part.strip())) if is_pattern else [part.strip()]
            if not found:
                self._warn(f"Given wildcard pattern did not match any file: {part}")
            for path in found:
                if os.path.isdir(path):
                    self._add_folder(path)
                else:
                    self.add(path)

    def _add_folder(self, folder: str) -> None:
        for root, folders, names in os.walk(folder, followlinks=False):
            # TorchServe's own rule.
            folders[:] = sorted(
                name for name in folders if name not in UNWANTED_FOLDERS and name[0] != "."
            )
            for name in sorted(names):
                path = os.path.join(root, name)
                self.add(path, os.path.relpath(path, folder).replace(os.sep, "/"))

    def selection(self) -> Selection:
        """Return what is to be packed."""
        return Selection(sorted(self._files.values(), key=lambda file: file.name), [], [])


def check_name(name: str, what: str) -> None:
    """Raises PackError for a name that TorchServe's archivers refuse. `what`: Model or Workflow."""
    if not re.match(_NAME, name):
        raise PackError(
            f"{what} name contains special characters.\nThe allowed regular expression filter for {what.lower()} name "
            f"is: {_NAME}"
        )


def check_target(target: Path, *, force: bool, what: str, warn: Callable[[str], None]) -> None:
    """Raises PackError where a target is there and may not be replaced. `what`: model or workflow."""
    if not target.exists():
        return
    if not force:
        raise PackError(
            f"{target} already exists.\nPlease specify --force/-f option to overwrite the {what} archive output file.\n"
            "See -h/--help for more details."
        )
    warn(f"Overwriting {target} ...")


def check_export_path(path: str) -> None:
    """Raises PackError where a folder is not there."""
    if not os.path.isdir(path):
        raise PackError(
            f"Given export-path {path} is not a directory. Point to a valid export-path directory."
        )


def base_names(*paths: str | None) -> Iterable[str | None]:
    """Return the last parts of paths."""
    return [os.path.basename(path) if path else None for path in paths]
