"""How much an archive may unpack to, and the count that holds it to that while it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from archiver.errors import InvalidArchive
from mms.text.brief import brief

_MIB: Final = 1024 * 1024
_GIB: Final = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold. The defaults leave room for any honest model and stop a decompression bomb early.

    `max_ratio` is unpacked bytes per byte of the archive file. Deflate reaches 1032 at most; weights stay below 20, and
    even a folder of zeros is let through while it unpacks to less than `ratio_applies_above_bytes`. `max_entries` holds
    for entries, and again for the folders on their way.
    """

    max_entries: int = 100_000
    max_total_bytes: int = 128 * _GIB
    max_ratio: float = 250.0
    ratio_applies_above_bytes: int = 256 * _MIB


DEFAULT_LIMITS: Final = Limits()


def too_many_entries(most: int, name: str) -> InvalidArchive:
    return InvalidArchive(
        f"The archive has more than {most} entries (the first one too many is {brief(name)})."
    )


class Budget:
    """Counts the entries of one archive against its limits. Owned by whoever reads that archive."""

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        """`archive_bytes`: the size of the archive file."""
        self._limits = limits
        self._archive_bytes = max(archive_bytes, 1)
        self._entries = 0
        self._folders = 0
        self._total_bytes = 0

    def count(self, name: str, size_bytes: int) -> None:
        """Takes one entry of that unpacked size. Raises InvalidArchive naming it when a limit is passed."""
        limits = self._limits
        self._entries += 1
        self._total_bytes += size_bytes
        if self._entries > limits.max_entries:
            raise too_many_entries(limits.max_entries, name)
        if self._total_bytes > limits.max_total_bytes:
            raise InvalidArchive(
                f"The archive unpacks to more than {limits.max_total_bytes} bytes (the limit is passed at "
                f"{brief(name)})."
            )
        ratio = self._total_bytes / self._archive_bytes
        if self._total_bytes > limits.ratio_applies_above_bytes and ratio > limits.max_ratio:
            raise InvalidArchive(
                f"The archive unpacks to more than {limits.max_ratio:g} times its own size (at {brief(name)}); "
                "if that is meant, unpack it into a folder of the model store and register the folder."
            )

    def count_folders(self, name: str, count: int) -> None:
        """Takes the folders that no entry stands for but `name` needs. Raises InvalidArchive as `count` does."""
        self._folders += count
        if self._folders > self._limits.max_entries:
            raise InvalidArchive(
                f"The archive has more than {self._limits.max_entries} folders (the limit is passed at {brief(name)})."
            )

    def __repr__(self) -> str:
        return f"Budget(entries={self._entries}, total_bytes={self._total_bytes}, limits={self._limits})"
