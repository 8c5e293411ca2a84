"""What calls of `context.metrics` raise."""

from __future__ import annotations

from mms.interfaces.torchserve.metrics.kinds import (
    GeneralMetricsCacheError as GeneralMetricsCacheError,
)
from mms.interfaces.torchserve.metrics.kinds import MetricsCacheIOError as MetricsCacheIOError
from mms.interfaces.torchserve.metrics.kinds import MetricsCacheKeyError as MetricsCacheKeyError
from mms.interfaces.torchserve.metrics.kinds import (
    MetricsCachePyYamlError as MetricsCachePyYamlError,
)
from mms.interfaces.torchserve.metrics.kinds import MetricsCacheTypeError as MetricsCacheTypeError
from mms.interfaces.torchserve.metrics.kinds import (
    MetricsCacheValueError as MetricsCacheValueError,
)
