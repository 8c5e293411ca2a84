"""Sizes of memory as they are written in settings: in bytes, with a unit, or as a share of what there is."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(|[kmgt]|[kmgt]i?b|%)", re.IGNORECASE)
_FACTORS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True, slots=True)
class MemorySize:
    """A size in bytes, or where that is 0 a share of the memory that there is, above 0 and at most 1."""

    size_bytes: int = 0
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.share:.4g}" if self.share else str(self.size_bytes)

    def of(self, total_bytes: int) -> int:
        """Return the size in bytes where there are so many."""
        return self.size_bytes or int(self.share * total_bytes)


def parse_memory_size(text: str) -> MemorySize:
    """Return the size that `1500M`, `2G`, `80%` or a number of bytes says. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError
    number, unit = float(found[1]), found[2].lower()
    if unit == "%":
        size = MemorySize(share=number / 100)
    else:
        size = MemorySize(size_bytes=int(number * _FACTORS[unit[:1]]))
    if not (size.size_bytes or 0 < size.share <= 1):
        raise ValueError
    return size
