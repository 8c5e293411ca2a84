"""The names of loggers as they stand in log lines. Parsers of MMS's logs search for them."""

from __future__ import annotations

#: Shown instead of this package's own name.
DISPLAY_PREFIX = "com.amazonaws.ml.mms"
PACKAGE = "mms"

MODEL_SERVER = "com.amazonaws.ml.mms.ModelServer"
MODEL_MANAGER = "com.amazonaws.ml.mms.wlm.ModelManager"
#: What workers print, and what becomes of their processes.
WORKER_LIFE_CYCLE = "com.amazonaws.ml.mms.wlm.WorkerLifeCycle"
WORKER_THREAD = "com.amazonaws.ml.mms.wlm.WorkerThread"
METRIC_COLLECTOR = "com.amazonaws.ml.mms.metrics.MetricCollector"

ACCESS_LOG = "ACCESS_LOG"
MMS_METRICS = "MMS_METRICS"
MODEL_METRICS = "MODEL_METRICS"
MODEL_LOG = "MODEL_LOG"

#: Loggers of lines that the recorder makes in bulk, past Python's logging.
BULK_LOGGERS = (ACCESS_LOG, MMS_METRICS, MODEL_METRICS)


def display_name(logger_name: str) -> str:
    """Return `com.amazonaws.ml.mms.launch.process` for `mms.launch.process`; other names stay."""
    if logger_name == PACKAGE or logger_name.startswith(PACKAGE + "."):
        return DISPLAY_PREFIX + logger_name[len(PACKAGE) :]
    return logger_name
