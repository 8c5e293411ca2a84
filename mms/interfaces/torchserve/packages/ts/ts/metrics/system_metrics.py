"""Metrics of the machine."""

from __future__ import annotations

from mms.metrics.system_metrics import collect_all as collect_all
from mms.metrics.system_metrics import cpu_utilization as cpu_utilization
from mms.metrics.system_metrics import dimension as dimension
from mms.metrics.system_metrics import disk_available as disk_available
from mms.metrics.system_metrics import disk_used as disk_used
from mms.metrics.system_metrics import disk_utilization as disk_utilization
from mms.metrics.system_metrics import memory_available as memory_available
from mms.metrics.system_metrics import memory_used as memory_used
from mms.metrics.system_metrics import memory_utilization as memory_utilization
from mms.metrics.system_metrics import system_metrics as system_metrics
