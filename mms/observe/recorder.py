"""Keeps what happened, on the hot path as tuples in plain lists, and turns it into log lines and counts in bulk.

A flush formats all records of one millisecond together: what their lines have in common is made once, and put around
each by what writes the log. Requests and batches cost about a microsecond of flush each; `requests` and `batches` may
be appended to through a kept bound method, the lists stay the same objects.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from mms.log_writer.dates import LineDates
from mms.log_writer.lines import Form
from mms.observe import logger_names
from mms.observe.log_files.setup import LAYOUT_QLOG, OUTPUTS, LogFile, Logs, level_word
from mms.observe.metrics.aggregates import Aggregates
from mms.observe.metrics.lines import file_line, one_line, qlog_record
from mms.observe.model_lines import ModelLines
from mms.observe.recent_errors import RecentErrors
from mms.wire.log_records import METRIC_MARK, decode_record

if TYPE_CHECKING:
    from mms.core.request import RequestTrace

#: `time.monotonic()`, request line (`request_line`), status, elapsed seconds, model, version, trace. The model is ""
#: where the response is no prediction of a registered model, the version "" where there is none, the trace None where
#: the request is not traced.
RequestRecord: TypeAlias = tuple[float, str, int, float, str, str, "RequestTrace | None"]
#: `time.monotonic()`, model, version, worker's name, size, queue seconds of each request, entry point seconds,
#: request ids, whether the entry point returned a good answer.
BatchRecord: TypeAlias = tuple[
    float, str, str, str, int, Sequence[float], float, Sequence[bytes], bool
]

_HOST = "Level:Host"
#: Lines of workers that wait for the next flush. With more the one who says them spends the time to format them.
_MAX_WORKER_LINES = 500
_MAIN = "main"
_STDERR = "stderr"
#: The digits of hundredths as Python writes a rounded float: 5 is .05, 30 is .3.
_FRACTIONS = tuple(f"{n:02d}".rstrip("0") or "0" for n in range(100))
_CLASSES = ("2XX", "4XX", "5XX")
_KNOWN = 1000
_NUMBERS = tuple(str(n) for n in range(_KNOWN))


def request_line(remote: str, method: str, uri: str, protocol: str) -> str:
    """Return what the access log has of a request. `remote`: its client's address."""
    return f'{remote} "{method} {uri} {protocol}"'


class _Measured:
    """Numbers of one model version, collected in a flush."""

    __slots__ = ("failures", "handler_s", "last_at_s", "queue_s", "sizes")

    def __init__(self) -> None:
        self.queue_s: list[float] = []
        self.handler_s: list[float] = []
        self.sizes: list[float] = []
        self.failures = 0
        self.last_at_s = 0.0


class Recorder:
    """Owner of the records and the counts. Used from the event loop's thread."""

    def __init__(
        self,
        logs: Logs,
        hostname: str | None = None,
        epoch_s: Callable[[], float] = lambda: time.time() - time.monotonic(),
    ) -> None:
        """`epoch_s`: returns when, in seconds since the epoch, `time.monotonic()` was 0. The clock may be set."""
        self.requests: list[RequestRecord] = []
        self.batches: list[BatchRecord] = []
        #: Model, version, size, seconds of reading and of writing of batches with tensors.
        self.codings: list[tuple[str, str, int, float, float]] = []
        #: Model, version, seconds from the request to the first part of its answer, of streams.
        self.first_chunks: list[tuple[str, str, float]] = []
        self.aggregates = Aggregates()
        #: The newest lines of each model, for who asks for them.
        self.model_lines = ModelLines()
        self.errors = RecentErrors()
        self.logs = logs
        self._hostname = hostname or socket.gethostname()
        self._dates = LineDates()
        self._epoch_s = epoch_s
        #: (seconds since the epoch, thread column, metric in file form)
        self._server_metrics: list[tuple[float, str, str]] = []
        self._model_metrics: list[tuple[float, str, str]] = []
        #: (seconds since the epoch, worker's name with the stream, level, logger, text)
        self._output: list[tuple[float, str, int, str, str]] = []
        options = logs.options
        self._is_qlog = options.layout == LAYOUT_QLOG
        self._has_copies = logs.has_server_log
        self._has_access = options.has_access_log and _is_on(logger_names.ACCESS_LOG)
        self._names_traces = options.names_traces
        self._has_server_metrics = options.has_metrics and _is_on(logger_names.MMS_METRICS)
        self._has_model_metrics = options.has_metrics and _is_on(logger_names.MODEL_METRICS)
        self._has_response_times = options.has_batch_lines and _is_on(logger_names.WORKER_THREAD)
        self._access_logger = logs.forwarded.get(logger_names.ACCESS_LOG)
        self._server_metric_logger = logs.forwarded.get(logger_names.MMS_METRICS)
        self._model_metric_logger = logs.forwarded.get(logger_names.MODEL_METRICS)
        self._output_logger = logging.getLogger(logger_names.WORKER_LIFE_CYCLE)

    def __repr__(self) -> str:
        return f"<Recorder with {len(self.requests)} requests and {len(self.batches)} batches to flush>"

    @property
    def pending(self) -> int:
        """Requests and batches that the next flush will find."""
        return len(self.requests) + len(self.batches)

    # What is recorded besides `requests` and `batches`

    def metric(
        self,
        name: str,
        unit: str,
        value: int | float,
        *,
        dimensions: str = _HOST,
        thread_name: str = _MAIN,
    ) -> None:
        """A metric of the server or the host, for mms_metrics.log. `dimensions`: `<name>:<value>,<name>:<value>`."""
        if self._has_server_metrics:
            now = time.time()
            line = f"{name}.{unit}:{value}|#{dimensions}|#hostname:{self._hostname},timestamp:{int(now)}"
            self._server_metrics.append((now, thread_name, one_line(line)))

    def worker_loaded(self, worker_name: str, load_s: float) -> None:
        """The time from a worker's creation until its model was loaded.

        The metric is named after the worker as MMS has it there, `W-<n>-<model>` for `W-<model>-<n>`.
        """
        model, _, index = worker_name.removeprefix("W-").rpartition("-")
        name = f"W-{index}-{model}" if model else worker_name
        self.metric(name, "ms", int(load_s * 1000), thread_name=name)

    def metric_lines(self, lines: Sequence[str], worker_name: str = "") -> None:
        """Metrics of a handler as a worker writes them, for model_metrics.log."""
        if self._has_model_metrics:
            now = time.time()
            thread_name = f"{worker_name}-stdout" if worker_name else _MAIN
            self._model_metrics.extend([(now, thread_name, file_line(line)) for line in lines])
            if len(self._model_metrics) > _MAX_WORKER_LINES:
                self._flush_model_metrics()

    def log_worker_line(self, model: str, worker_name: str, stream: str, text: str) -> None:
        """A line of a worker's output. `stream`: `stdout` or `stderr`.

        Log records among its lines have a level and a logger of their own; metrics go where they belong.
        """
        level = logging.WARNING if stream == _STDERR else logging.INFO
        logger_name = self._output_logger.name
        printed, record = decode_record(text)
        if record is not None:
            if printed:
                self.log_worker_line(model, worker_name, stream, printed)
            level, text = record.level, record.text
            logger_name = record.logger or logger_name
        if text.startswith(METRIC_MARK):
            self.metric_lines([text[len(METRIC_MARK) :]], worker_name)
            return
        # What a model logs below INFO, it has asked for itself.
        if not self._output_logger.isEnabledFor(max(level, logging.INFO)):
            return
        self.model_lines.add(model, worker_name, stream, level, logger_name, text)
        thread_name = f"{worker_name}-{stream}"
        if self._has_copies:
            self._output.append((time.time(), thread_name, level, logger_name, text))
            if len(self._output) > _MAX_WORKER_LINES:
                self._flush_output()
        else:
            # It is among the lines of the model already.
            extra = {"thread_name": thread_name, "model": model, "is_output": True}
            self._output_logger.handle(
                self._output_logger.makeRecord(
                    logger_name, level, "", 0, "%s", (text,), None, extra=extra
                )
            )

    # Flush

    def flush(self) -> None:
        """Format and count everything recorded, and hand it to what writes the log."""
        self.digest()
        self.logs.flush()

    def measured(self) -> Aggregates:
        """Return what has been counted by now."""
        self.digest()
        return self.aggregates

    def digest(self) -> None:
        """Format and count everything recorded. Without records it costs next to nothing."""
        if self.requests:
            self._flush_requests()
        # A handler's own metrics stand before the time of its batch, as it wrote them.
        if self._model_metrics:
            self._flush_model_metrics()
        if self.batches:
            self._flush_batches()
        if self.codings:
            self._flush_codings()
        if self.first_chunks:
            self._flush_first_chunks()
        if self._server_metrics:
            self._flush_metrics(
                self._server_metrics,
                LogFile.MMS_METRICS,
                logger_names.MMS_METRICS,
                self._server_metric_logger,
            )
        if self._output:
            self._flush_output()

    def _flush_requests(self) -> None:
        records = self.requests[:]
        del self.requests[: len(records)]
        has_access = self._has_access
        names_traces = self._names_traces
        class_counts = [0, 0, 0]
        elapsed: dict[tuple[str, str, int], list[float]] = {}
        epoch_s = self._epoch_s()
        group_ms = 0
        #: Of the millisecond that is gathered, by the clock of the records.
        from_s = until_s = records[0][0]
        status = -1
        model = version = ""
        label = ""
        times_s: list[float] = []
        class_index = 0
        messages: list[str] = []
        for at_s, line, its_status, elapsed_s, its_model, its_version, trace in records:
            if not from_s <= at_s < until_s:
                self._end_request_group(group_ms, messages, class_counts)
                messages = []
                group_ms = int((at_s + epoch_s) * 1000)
                from_s, until_s = group_ms / 1000 - epoch_s, (group_ms + 1) / 1000 - epoch_s
            if its_status != status or its_model != model or its_version != version:
                status, model, version = its_status, its_model, its_version
                times_s = elapsed.setdefault((model, version, status), [])
                class_index = _class_index(status)
                label = f" {status} "
            times_s.append(elapsed_s)
            class_counts[class_index] += 1
            if has_access:
                elapsed_ms = int(elapsed_s * 1000)
                # Python takes its time to write an integer.
                shown_ms = _NUMBERS[elapsed_ms] if 0 <= elapsed_ms < _KNOWN else str(elapsed_ms)
                if trace is None or not names_traces:
                    messages.append(line + label + shown_ms)
                else:
                    messages.append(f"{line}{label}{shown_ms} {trace.words}")
        self._end_request_group(group_ms, messages, class_counts)
        for (model, version, status), values in elapsed.items():
            self.aggregates.request_series(model, version, status).observe_all(values)

    def _end_request_group(
        self, group_ms: int, messages: list[str], class_counts: list[int]
    ) -> None:
        """Make the lines of the requests of one millisecond, and empty `class_counts`."""
        if not any(class_counts):
            return
        date = self._dates.of(group_ms)
        if messages:
            start = f"{date} [INFO ] main ACCESS_LOG - "
            self._add(group_ms, LogFile.ACCESS, f"{date} - ", start, messages)
            if self._access_logger is not None:
                _forward(self._access_logger, messages)
        if self._has_server_metrics:
            for class_name, count in zip(_CLASSES, class_counts, strict=True):
                if not count:
                    continue
                message = (
                    f"Requests{class_name}.Count:1|#{_HOST}|#hostname:{self._hostname},"
                    f"timestamp:{group_ms // 1000}"
                )
                start = f"{date} [INFO ] main MMS_METRICS - "
                self._add_metrics(
                    group_ms, LogFile.MMS_METRICS, f"{date} - ", start, [message], times=count
                )
                if self._server_metric_logger is not None:
                    _forward(self._server_metric_logger, [message] * count)
        class_counts[:] = (0, 0, 0)

    def _flush_batches(self) -> None:
        records = self.batches[:]
        del self.batches[: len(records)]
        #: By worker: what differs between its lines of one millisecond.
        values: dict[str, list[str]] = {}
        response_times: dict[str, list[str]] = {}
        measured: dict[tuple[str, str], _Measured] = {}
        epoch_s = self._epoch_s()
        group_ms = 0
        #: Of the millisecond that is gathered, by the clock of the records.
        from_s = until_s = records[0][0]
        last_worker = last_model = last_version = None
        worker_values: list[str] = []
        worker_times: list[str] = []
        model_measured = _Measured()
        middle = ""
        for at_s, model, version, worker, size, queue_s, handler_s, ids, is_success in records:
            if not from_s <= at_s < until_s:
                self._end_batch_group(group_ms, values, response_times)
                group_ms = int((at_s + epoch_s) * 1000)
                from_s, until_s = group_ms / 1000 - epoch_s, (group_ms + 1) / 1000 - epoch_s
                last_worker = None
            if worker != last_worker:
                worker_values = values.setdefault(worker, [])
                worker_times = response_times.setdefault(worker, [])
                last_worker = worker
            if model != last_model or version != last_version:
                model_measured = measured.setdefault((model, version), _Measured())
                middle = f"|#ModelName:{one_line(model)},Level:Model|#hostname:{self._hostname},requestID:"
                last_model, last_version = model, version
            model_measured.last_at_s = at_s
            model_measured.queue_s.extend(queue_s)
            model_measured.handler_s.append(handler_s)
            model_measured.sizes.append(size)
            # Hundredths of a millisecond. Python takes three times as long to write a float as to write an integer.
            hundredths = int(handler_s * 100000 + 0.5)
            whole_ms = str(hundredths // 100)
            worker_times.append(whole_ms)
            if is_success:
                request_ids = ids[0] if size == 1 else b",".join(ids)
                worker_values.append(
                    f"{whole_ms}.{_FRACTIONS[hundredths % 100]}{middle}{request_ids.decode()}"
                )
            else:
                model_measured.failures += 1
        self._end_batch_group(group_ms, values, response_times)
        for (model, version), one in measured.items():
            series = self.aggregates.batch_series(model, version)
            series.last_at = one.last_at_s + epoch_s
            series.last_handler_s, series.last_queue_s = one.handler_s[-1], one.queue_s[-1]
            # Before the lists are sorted, each by itself.
            for requests, handler_s in zip(one.sizes, one.handler_s, strict=True):
                of_size = series.of_size(int(requests))
                of_size.count += 1
                of_size.entry_point_s += handler_s
            series.queue.observe_all(one.queue_s)
            series.handler.observe_all(one.handler_s)
            series.sizes.observe_all(one.sizes)
            series.failures += one.failures

    def _flush_codings(self) -> None:
        records = self.codings[:]
        del self.codings[: len(records)]
        for model, version, size, reading_s, writing_s in records:
            series = self.aggregates.batch_series(model, version).of_size(size)
            series.coded += 1
            series.reading_s += reading_s
            series.writing_s += writing_s

    def _flush_first_chunks(self) -> None:
        records = self.first_chunks[:]
        del self.first_chunks[: len(records)]
        for model, version, elapsed_s in records:
            self.aggregates.batch_series(model, version).first_chunk.observe_all([elapsed_s])

    def _end_batch_group(
        self, group_ms: int, values: dict[str, list[str]], response_times: dict[str, list[str]]
    ) -> None:
        """Make the lines of the batches of one millisecond, and empty `values` and `response_times`."""
        if not values:
            return
        date = self._dates.of(group_ms)
        name = "PredictionTime.Milliseconds:"
        suffix = f",timestamp:{group_ms // 1000}"
        for worker, worker_values in values.items():
            if not worker_values or not self._has_model_metrics:
                continue
            start = f"{date} [INFO ] {worker}-stdout MODEL_METRICS - {name}"
            self._add_metrics(
                *(group_ms, LogFile.MODEL_METRICS, f"{date} - {name}", start, worker_values),
                name=name,
                behind=suffix,
            )
            if self._model_metric_logger is not None:
                _forward(self._model_metric_logger, [f"{name}{v}{suffix}" for v in worker_values])
        if self._has_copies and self._has_response_times:
            for worker, times in response_times.items():
                start = f"{date} [INFO ] {worker} {logger_names.WORKER_THREAD} - Backend response time: "
                self._add(group_ms, None, "", start, times)
        values.clear()
        response_times.clear()

    def _flush_model_metrics(self) -> None:
        self._flush_metrics(
            self._model_metrics,
            LogFile.MODEL_METRICS,
            logger_names.MODEL_METRICS,
            self._model_metric_logger,
        )

    def _flush_metrics(
        self,
        records: list[tuple[float, str, str]],
        file: LogFile,
        logger_name: str,
        logger: logging.Logger | None,
    ) -> None:
        taken = records[:]
        del records[: len(taken)]
        for wall_s, thread_name, message in taken:
            ms = int(wall_s * 1000)
            date = self._dates.of(ms)
            start = f"{date} [INFO ] {thread_name} {logger_name} - "
            self._add_metrics(ms, file, f"{date} - ", start, [message])
            if logger is not None:
                _forward(logger, [message])

    def _flush_output(self) -> None:
        taken = self._output[:]
        del self._output[: len(taken)]
        outputs = self.logs.server_log | OUTPUTS[LogFile.MODEL]
        for wall_s, thread_name, level, logger_name, text in taken:
            ms = int(wall_s * 1000)
            date = self._dates.of(ms)
            line = f"{date} [{level_word(level)}] {thread_name} {logger_name} - {text}\n"
            self.logs.add_text(ms, outputs, line)

    def _add_metrics(
        self,
        at_ms: int,
        file: LogFile,
        before: str,
        copy_before: str,
        metrics: list[str],
        *,
        name: str = "",
        behind: str = "",
        times: int = 1,
    ) -> None:
        """Add metrics to one of the metrics files, and copies. `name`: the end of what stands before each."""
        if self._is_qlog:
            options = self.logs.options
            for metric in metrics:
                message = f"{name}{metric}{behind}"
                record = qlog_record(message, options.program, options.marketplace)
                self.logs.add_text(at_ms, OUTPUTS[file], record * times)
            self._add(at_ms, None, "", copy_before, metrics, behind, times)
        else:
            self._add(at_ms, file, before, copy_before, metrics, behind, times)

    def _add(
        self,
        at_ms: int,
        file: LogFile | None,
        before: str,
        copy_before: str,
        messages: list[str],
        behind: str = "",
        times: int = 1,
    ) -> None:
        """Add a line of each message to a file, and copies to the server's log, with other words before them."""
        forms: list[Form] = []
        if file is not None:
            forms.append((OUTPUTS[file], before, behind))
        if self._has_copies:
            forms.append((self.logs.server_log, copy_before, behind))
        if forms:
            self.logs.add((at_ms, "\n".join(messages), len(messages), times, tuple(forms)))


def _is_on(logger_name: str) -> bool:
    return logging.getLogger(logger_name).isEnabledFor(logging.INFO)


def _class_index(status: int) -> int:
    """Return the class that counts a status: as in MMS, whatever is neither 2xx nor 4xx counts as 5xx."""
    return {2: 0, 4: 1}.get(status // 100, 2)


def _forward(logger: logging.Logger, messages: list[str]) -> None:
    for message in messages:
        logger.info("%s", message)
