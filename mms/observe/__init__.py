"""Metrics and logs: the recorder of the hot path, the five log files, host metrics, Prometheus text."""

from mms.observe.flush_timer import FlushTimer
from mms.observe.log_files.setup import LogFile, LoggingSetup, LogOptions, Logs, configure_logging
from mms.observe.metrics.custom_series import CustomSeries
from mms.observe.metrics.fronts import FrontCount, FrontMetrics
from mms.observe.metrics.host import HostMonitor, HostReading, worker_memory
from mms.observe.metrics.memory import MemoryMetrics
from mms.observe.metrics.prometheus import PrometheusText, server_text
from mms.observe.metrics.snapshot import ModelSnapshot, WorkerSnapshot
from mms.observe.metrics.traces import TraceMetrics
from mms.observe.metrics.tracking import TrackingMetrics
from mms.observe.model_lines import ModelEventHandler, ModelLines
from mms.observe.recent_errors import RecentErrors
from mms.observe.recorder import BatchRecord, Recorder, RequestRecord
from mms.observe.worker_events import WorkerEventLog

__all__ = [
    "BatchRecord",
    "CustomSeries",
    "FlushTimer",
    "FrontCount",
    "FrontMetrics",
    "HostMonitor",
    "HostReading",
    "LogFile",
    "LogOptions",
    "LoggingSetup",
    "Logs",
    "MemoryMetrics",
    "ModelEventHandler",
    "ModelLines",
    "ModelSnapshot",
    "PrometheusText",
    "RecentErrors",
    "Recorder",
    "TraceMetrics",
    "TrackingMetrics",
    "WorkerEventLog",
    "RequestRecord",
    "WorkerSnapshot",
    "configure_logging",
    "server_text",
    "worker_memory",
]
