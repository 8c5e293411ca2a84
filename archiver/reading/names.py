"""Which names an archive's entries may have: relative, inside the target, and one path each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from archiver.errors import InvalidArchive
from archiver.reading.limits import Budget
from mms.text.brief import brief

_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
# NAME_MAX of Linux and macOS file systems.
_MAX_PART_BYTES: Final = 255
# PATH_MAX of Linux is 4096 and counts the folder that the archive is unpacked to.
_MAX_NAME_BYTES: Final = 3072
# Python makes and removes trees by recursion, whose limit is 1000, and holds a descriptor open for each level.
_MAX_PARTS: Final = 100


def checked_name(name: str) -> str:
    """Return `name` with single "/" and no "." parts. Raises InvalidArchive for one that must not be unpacked."""
    if _CONTROL_CHARACTER.search(name):
        raise _refused(name, "has a control character in its name")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise _refused(name, "has a name that is not UTF-8") from None
    if "\\" in name:
        raise _refused(name, 'has a backslash in its name, archives separate folders by "/"')
    if name.startswith("/"):
        raise _refused(name, "has an absolute name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(name, 'leaves the archive with ".."')
    if not parts:
        raise _refused(name, "has no name")
    if _DRIVE.match(parts[0]):
        raise _refused(name, "names a drive")
    if len(encoded) > _MAX_NAME_BYTES or any(
        len(part.encode()) > _MAX_PART_BYTES for part in parts
    ):
        raise _refused(f"{name[:80]}...", "has too long a name")
    if len(parts) > _MAX_PARTS:
        raise _refused(f"{name[:80]}...", f"lies below more than {_MAX_PARTS - 1} folders")
    return "/".join(parts)


def _refused(name: str, reason: str) -> InvalidArchive:
    return InvalidArchive(f"The archive's entry {brief(name)} {reason}.")


class NameTree:
    """The files and folders of one archive, and the refusal of two entries that would end up on one path.

    Names must have passed `checked_name`. The folders on their way are counted by `budget`.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add_file(self, name: str) -> None:
        if name in self._files:
            raise InvalidArchive(f"The archive has two entries named {brief(name)}.")
        if name in self._folders:
            raise _clash(name)
        self._add_parents(name)
        self._files.add(name)

    def add_folder(self, name: str) -> None:
        if name in self._files:
            raise _clash(name)
        self._add_parents(name)
        self._folders.add(name)

    def _add_parents(self, name: str) -> None:
        new: list[str] = []
        cut = name.rfind("/")
        while cut > 0 and (parent := name[:cut]) not in self._folders:
            if parent in self._files:
                raise _clash(parent)
            new.append(parent)
            cut = parent.rfind("/")
        if new and self._budget is not None:
            self._budget.count_folders(name, len(new))
        self._folders.update(new)

    def __repr__(self) -> str:
        return f"NameTree(files={len(self._files)}, folders={len(self._folders)})"


def _clash(name: str) -> InvalidArchive:
    return InvalidArchive(f"The archive has {brief(name)} both as a file and as a folder.")


def case_collisions(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of paths (folders on the way included) that are one path to a file system that ignores case."""
    spelling: dict[str, str] = {}
    pairs: dict[tuple[str, str], None] = {}
    for name in names:
        end = len(name)
        while end > 0:
            path = name[:end]
            known = spelling.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if known != path:
                pairs.setdefault((known, path))
            end = name.rfind("/", 0, end)
    return list(pairs)
