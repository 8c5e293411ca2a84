"""The base of caches of metrics, by its name; there is one class of them here."""

from __future__ import annotations

from mms.interfaces.torchserve.metrics.cache import MetricsCache

MetricCacheAbstract = MetricsCache
