"""A metric that handlers keep and update."""

from __future__ import annotations

from mms.interfaces.torchserve.metrics.caching_metric import CachingMetric as CachingMetric
