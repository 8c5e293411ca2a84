"""The longest time that a setting or parameter may give."""

from __future__ import annotations

from typing import Final

#: Ten years, in seconds. Clients, registrations and settings may name any number; a longer time is taken as this one,
#: since nobody can tell the difference and frames, timers and floats have limits of their own.
LONGEST_S: Final = 10 * 365 * 86400.0


def bounded_s(amount: float, unit_s: float = 1.0) -> float:
    """A time in seconds, at most `LONGEST_S`. `unit_s`: of the amount, which may be a whole number of any size."""
    return LONGEST_S if amount > LONGEST_S / unit_s else amount * unit_s
