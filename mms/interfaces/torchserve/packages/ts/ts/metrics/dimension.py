"""A dimension of a metric."""

from __future__ import annotations

from mms.metrics.dimension import Dimension as Dimension
