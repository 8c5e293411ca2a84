"""The kinds of metrics."""

from __future__ import annotations

from mms.interfaces.torchserve.metrics.kinds import MetricTypes as MetricTypes
