"""The memory of processes by their ids."""

from __future__ import annotations

from mms.metrics.process_memory_metric import (
    check_process_mem_usage as check_process_mem_usage,
)
from mms.metrics.process_memory_metric import get_cpu_usage as get_cpu_usage
