"""The words for units in metric lines."""

from __future__ import annotations

from mms.interfaces.torchserve.metrics.caching_metric import UNITS


class Units:
    """`units`: the unit of a call -> the word in a line."""

    def __init__(self) -> None:
        self.units = dict(UNITS)
