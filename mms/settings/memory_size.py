"""Sizes of memory as they are written in settings: in bytes, with a unit, or as a share of what there is."""

from __future__ import annotations

import os
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


def larger_than_machine(size: MemorySize | None) -> str | None:
    """Return a warning for a size that this machine does not have; None for any other."""
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    if size is None or size.of(machine_bytes) <= machine_bytes:
        return None
    return f"is more than the {machine_bytes} bytes of memory that this machine has, so it limits nothing"
