"""What an item costs in batches of different sizes, each seen for itself.

Where items of a batch are padded to the longest one, a larger batch makes each item dearer. A line through the costs of
batches does not show that.
"""

from __future__ import annotations

#: Weight of a new batch in the mean of its class, once there are more than a few.
_WEIGHT = 0.02
#: A class that nothing has been heard of for so many batches is forgotten.
_REMEMBERED = 500


class _SizeClass:
    """Batches of about one size."""

    __slots__ = ("_count", "item_s", "last", "size")

    def __init__(self) -> None:
        self._count = 0
        self.item_s = 0.0
        #: Of the last batch: its size, and its number among all batches from 1 on.
        self.size = 0
        self.last = 0

    def observe(self, size: int, item_s: float, number: int) -> None:
        if number - self.last > _REMEMBERED:
            self._count = 0
        self._count += 1
        self.last = number
        self.size = size
        self.item_s += (item_s - self.item_s) * max(1.0 / self._count, _WEIGHT)


class SizeClasses:
    """Two classes for each doubling of the size: 1, 2, 3, 4 to 5, 6 to 7, 8 to 11, and so on."""

    __slots__ = ("_batches", "_classes")

    def __init__(self) -> None:
        self._batches = 0
        self._classes: list[_SizeClass] = []

    def __repr__(self) -> str:
        seen = (f"{each.size}: {each.item_s * 1e3:.3f} ms" for each in self._classes if each.last)
        return f"<SizeClasses, an item in a batch of {', '.join(seen)}>"

    def observe(self, size: int, item_s: float) -> None:
        """Note what each item of a batch has cost, in seconds."""
        self._batches += 1
        self._class_for(size).observe(size, item_s, self._batches)

    def no_dearer(self, size: int) -> int:
        """Return the size, or a smaller one whose items have cost less.

        Sizes that have not been tried lately are tried in steps, from the cheapest on.
        """
        if size < 2:
            return size
        asked = self._class_for(size)
        since = max(self._batches - _REMEMBERED, 0)
        cheapest: _SizeClass | None = None
        for each in self._classes:
            if each.last > since and (cheapest is None or each.item_s < cheapest.item_s):
                cheapest = each
            if each is asked:
                break
        if cheapest is None or cheapest is asked:
            return size
        step = min(size, 2 * cheapest.size)
        is_known = self._class_for(step).last > since
        return min(size, cheapest.size) if is_known else step

    def _class_for(self, size: int) -> _SizeClass:
        bits = size.bit_length()
        number = size - 1 if size < 4 else 2 * bits - 3 + (size >> (bits - 2) & 1)
        while len(self._classes) <= number:
            self._classes.append(_SizeClass())
        return self._classes[number]
