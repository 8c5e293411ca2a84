"""Metrics and logs: the recorder of the hot path, the five log files, host metrics, Prometheus text."""

from mms.observe.custom_series import CustomSeries
from mms.observe.flush_timer import FlushTimer
from mms.observe.host import HostMonitor, HostReading, worker_memory
from mms.observe.logs import LogFile, LoggingSetup, LogOptions, Logs, configure_logging
from mms.observe.memory_metrics import MemoryMetrics
from mms.observe.prometheus import PrometheusText
from mms.observe.recorder import BatchRecord, Recorder, RequestRecord
from mms.observe.snapshot import ModelSnapshot, WorkerSnapshot
from mms.observe.tracking_metrics import TrackingMetrics
from mms.observe.worker_events import WorkerEventLog

__all__ = [
    "BatchRecord",
    "CustomSeries",
    "FlushTimer",
    "HostMonitor",
    "HostReading",
    "LogFile",
    "LogOptions",
    "LoggingSetup",
    "Logs",
    "MemoryMetrics",
    "ModelSnapshot",
    "PrometheusText",
    "Recorder",
    "TrackingMetrics",
    "WorkerEventLog",
    "RequestRecord",
    "WorkerSnapshot",
    "configure_logging",
    "worker_memory",
]
