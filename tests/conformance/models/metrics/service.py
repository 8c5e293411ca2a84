"""Reports metrics of every kind."""

from __future__ import annotations

from mms.metrics.dimension import Dimension


def handle(data, context):
    if data is None:
        return None
    metrics = context.metrics
    shape = [Dimension("Shape", "wide")]
    metrics.add_counter("Calls", 1)
    metrics.add_counter("Calls", 2)
    metrics.add_counter("Marked", 5, dimensions=shape)
    metrics.add_time("Preparing", 1.5)
    metrics.add_time("Cooking", 2, unit="s")
    metrics.add_time("Shaped", 3, dimensions=shape)
    metrics.add_size("Plate", 4)
    metrics.add_size("Crumb", 5, unit="B")
    metrics.add_percent("Full", 50.5)
    metrics.add_error("Burnt", 1)
    metrics.add_metric("Distance", 7, unit="km")
    metrics.add_time("ForFirst", 1, idx=0)
    return ["OK"] * len(data)
