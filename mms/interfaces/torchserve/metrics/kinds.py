"""The kinds of metrics, and the errors of calls that make none."""

from __future__ import annotations

import enum
from typing import Any


class MetricTypes(enum.Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class GeneralMetricsCacheError(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(f"Generic error: {message}")


class MetricsCacheIOError(OSError):
    def __init__(self, message: str) -> None:
        super().__init__(f"Error reading file: {message}")


class MetricsCachePyYamlError(ValueError):
    def __init__(self, message: str) -> None:
        super().__init__(f"Error parsing file: {message}")


class MetricsCacheTypeError(TypeError):
    """A name, a unit, a kind or dimensions that are of another type than they have to be."""


class MetricsCacheValueError(ValueError):
    """A unit that there is not, or a configuration without metrics."""


class MetricsCacheKeyError(KeyError):
    """A metric that there is not, or a member that a configured one lacks."""

    def __str__(self) -> str:
        # A KeyError would show its text in quotes.
        return Exception.__str__(self)


def metric_type(value: Any) -> MetricTypes:
    """Return the kind; also for a kind of TorchServe's own package, which has an enumeration of its own.

    Raises MetricsCacheTypeError.
    """
    if isinstance(value, MetricTypes):
        return value
    if isinstance(value, enum.Enum) and type(value).__name__ == MetricTypes.__name__:
        return MetricTypes(value.value)
    raise MetricsCacheTypeError("`metric_type` must be a MetricTypes enum")
