"""The store of metrics of one batch, which handlers had before TorchServe 0.7, and their tests have still."""

from __future__ import annotations

from mms.metrics.metrics_store import MetricsStore as MetricsStore
