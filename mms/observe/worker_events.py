"""What workers say and do, on its way to the logs and metrics."""

from __future__ import annotations

from typing import Any

from mms.observe.metrics.custom_series import CustomSeries
from mms.observe.recorder import Recorder


class WorkerEventLog:
    """Writes down what workers say and do."""

    def __init__(self, recorder: Recorder, series: CustomSeries) -> None:
        self._recorder = recorder
        self._series = series

    def worker_output(self, model: str, worker: str, stream: str, text: str) -> None:
        self._recorder.log_worker_line(model, worker, stream, text)

    def load_traceback(self, model: str, worker: str, traceback: str) -> None:
        """Write down why a load has failed, before what the server says of it; nothing for an empty text."""
        for line in traceback.splitlines():
            self._recorder.log_worker_line(model, worker, "stderr", line)
        if traceback:
            self._recorder.flush()

    def worker_metrics(self, worker: str, lines: list[str]) -> None:
        self._recorder.metric_lines(lines, worker)

    def worker_series(self, model: str, pid: int, series: list[dict[str, Any]]) -> None:
        self._series.add(model, pid, series)

    def worker_loaded(self, model: str, worker: str, load_s: float) -> None:
        self._recorder.worker_loaded(worker, load_s)
