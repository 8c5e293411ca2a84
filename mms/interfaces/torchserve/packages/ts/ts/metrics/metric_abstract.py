"""The base of metrics, by its name; there is one class of them here."""

from __future__ import annotations

from mms.interfaces.torchserve.metrics.caching_metric import CachingMetric

MetricAbstract = CachingMetric
