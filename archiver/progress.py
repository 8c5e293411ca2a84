"""How packing and unpacking tell their caller how far they are."""

from __future__ import annotations

from collections.abc import Callable

# Called with (bytes done, bytes in all, name of the file in work); what it raises ends the work.
Progress = Callable[[int, int, str], None]
