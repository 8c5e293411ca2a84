"""One batch: decode, call the entry point, encode."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from mms.context import Context
from mms.service import PredictionException
from mms.wire import (
    FAILED,
    LAST,
    SUCCEEDED,
    UNFILLED,
    Buffer,
    Load,
    ResultItem,
    decode_batch,
    encode_result,
)
from mms.wire.messages import encode_metrics as encode_metric_frames
from mms.worker.loading.model import Model
from mms.worker.log_records.log_lines import log_left_out, write_log
from mms.worker.log_records.running_traces import enter_requests, names_of_traces
from mms.worker.log_records.tracebacks import model_traceback, refusal_text, shown_error
from mms.worker.outbox import Outbox
from mms.worker.requests.answer_head import InvalidHead, encode_status
from mms.worker.requests.failures import failure_text
from mms.worker.requests.request_decoder import DecodedBatch, RequestDecoder
from mms.worker.requests.result_encoder import ResultEncoder, UnfitChunk
from mms.worker.running.awaiting import is_awaitable, wait_for
from mms.worker.streams.form import is_stream
from mms.worker.streams.handler_streams import HandlerStreams
from mms.worker.streams.pump import StreamPump

if TYPE_CHECKING:
    from mms.metrics.metric import Metric as MeasuredMetric
    from mms.worker.tensors.items import TensorItem
    from mms.worker.tensors.plain import PlainTensors

#: So many are far from the size of a frame that the server believes.
_METRICS_A_FRAME = 1000

_now_ns = time.perf_counter_ns


class _Failed(Exception):
    """The whole batch failed, with this status and message.

    `size_problem`: where the number of requests may be what the handler could not take, what went wrong.
    `tensor_status`: for clients of protocols of tensors, which are not told to try again.
    """

    def __init__(
        self, status: int, message: str, *, size_problem: str = "", tensor_status: int = 0
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.size_problem = size_problem
        self.tensor_status = tensor_status or status


class BatchRunner:
    """Runs batches of one model and puts the answers into an outbox."""

    def __init__(
        self,
        model: Model,
        load: Load,
        outbox: Outbox,
        cancelled_ids: Collection[bytes],
        pump: StreamPump | None = None,
    ) -> None:
        """`pump`: has the streams that the handler returns; None: it may return none."""
        self._entry_point = model.entry_point
        self._context: Context = model.context
        self._context._cancelled_ids = cancelled_ids
        if load.names_traces:
            self._context._enter_requests = enter_requests
        self._load = load
        self._tensors: PlainTensors | None = None
        self._decoder = RequestDecoder(
            load.decode_input_request,
            self._open_tensors,
            keeps_undecodable=model.rules.keeps_undecodable,
            headers_of=model.rules.headers_of,
        )
        self._encoder = ResultEncoder(
            load.max_response_bytes, load.json_content_type, tells_why=load.debug_errors
        )
        self._outbox = outbox
        self._streams: HandlerStreams | None = None
        if pump is not None:
            self._streams = HandlerStreams(
                *(pump, self._context, self._encoder, self._failure_of, self._metric_frames),
                is_alone=model.is_continuous,
            )
        self._batch_size = load.batch_size
        #: Answers tell what MMS leaves to the log.
        self._is_open = load.debug_errors
        self._model_version = load.model_version
        #: Of the last batch, from one end to the other.
        self._elapsed_ns = 0

    def __repr__(self) -> str:
        return f"<BatchRunner of model {self._context.model_name}>"

    def run(
        self, sequence: int, payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
    ) -> None:
        """Run a batch. Raises ProtocolError for a bad frame, SystemExit as the code does, OSError without a front."""
        begun_ns = _now_ns()
        outbox = self._outbox
        outbox.flush_due(begun_ns, self._elapsed_ns)
        batch = self._decoder.decode_batch(
            decode_batch(payload, attachments), self._context._cancelled_ids
        )
        if batch.failures:
            is_all = not batch.data
            flags = LAST if is_all else 0
            failures = encode_result(sequence, flags, 0, batch.failures, len(batch.failures))
            outbox.add(failures, _now_ns())
            if is_all:
                return
            # They need not wait for the others.
            outbox.flush()
        context = self._context
        context._begin(batch.ids, batch.types, batch.blocks)
        streams = self._streams
        if streams is not None:
            streams.begin(sequence, batch)
        started_ns = _now_ns()
        flags = LAST
        try:
            values = self._call(batch.data)
            entry_point_ns = _now_ns() - started_ns
            if batch.tensors is None:
                results = self._encoder.encode(values, context, batch.indices)
            else:
                results = self._encode_mixed(values, batch, batch.tensors)
            flags = LAST | SUCCEEDED
        except _Failed as failure:
            entry_point_ns = _now_ns() - started_ns
            results = _same_failure(failure, batch)
            if failure.size_problem and not (streams is not None and streams.has_sent):
                flags |= UNFILLED
                results.append((len(results), 0, 0, b"", b"", failure_text(failure.size_problem)))
        if streams is not None:
            results = streams.end(results)
        metrics = context._taken_metrics()
        if metrics:
            outbox.add(self._metric_frames(metrics), _now_ns())
        ended_ns = _now_ns()
        coding_ns = None
        if batch.tensors is not None:
            coding_ns = (started_ns - begun_ns, ended_ns - started_ns - entry_point_ns)
        outbox.add(
            encode_result(sequence, flags, entry_point_ns, results, len(results), coding_ns),
            ended_ns,
        )
        self._elapsed_ns = ended_ns - begun_ns

    def _open_tensors(self) -> PlainTensors:
        if self._tensors is None:
            # Here, as most models have no use for it.
            from mms.worker.tensors.plain import PlainTensors

            self._tensors = PlainTensors(self._load)
        return self._tensors

    def _encode_mixed(
        self, values: list[Any], batch: DecodedBatch, tensors: dict[int, TensorItem]
    ) -> list[ResultItem]:
        """Return the results where some of the requests came by a protocol of tensors."""
        context = self._context
        writer = self._open_tensors()
        encode_one = self._encoder.encode_one
        results = []
        for place, (value, index) in enumerate(zip(values, batch.indices, strict=True)):
            item = tensors.get(place)
            if item is None:
                results.append(encode_one(value, context, place, index))
            elif self._streams is not None and is_stream(value):
                results.append(self._streams.begin_tensors(value, place, index, writer, item))
            else:
                results.append(writer.write(item, value, context, place, index))
        return results

    def _call(self, data: list[dict[str, Any]]) -> list[Any]:
        """Return the entry point's list of results. Raises _Failed."""
        count = len(data)
        outbox = self._outbox
        outbox.lend()
        try:
            values = self._entry_point(data, self._context)
            if not isinstance(values, list) and is_awaitable(values):
                values = wait_for(values)
        except SystemExit:
            # Its end is what the handler asked for; what is done already must not go with it.
            outbox.take_back()
            outbox.flush()
            raise
        except BaseException as error:
            raise self._failure(error, is_size=count < self._batch_size) from None
        finally:
            outbox.take_back()
        if not isinstance(values, list) and self._streams is not None and is_stream(values):
            try:
                values = self._streams.of_batch(values, count, self._batch_size)
            except TypeError as error:
                self._log(str(error))
                raise _Failed(503, self._told("Prediction failed", str(error))) from None
        if not isinstance(values, list):
            raise self._unfit("Invalid model predict output", type(values).__name__, count)
        if len(values) != count:
            is_size = count < self._batch_size == len(values)
            came = f"a list of {len(values)}"
            raise self._unfit("number of batch response mismatched", came, count, is_size=is_size)
        return values

    def _metric_frames(self, metrics: Sequence[MeasuredMetric]) -> list[Buffer]:
        return encode_metrics(metrics, self._model_version)

    def _failure(self, error: BaseException, *, is_size: bool) -> _Failed:
        """Return how a batch fails that the handler has raised this for."""
        if isinstance(error, PredictionException):
            return self._refused(error)
        if isinstance(error, MemoryError):
            return self._failed(507, "Out of resources", error)
        # Also of asyncio's CancelledError, and of KeyboardInterrupt, which nobody at a keyboard can have caused.
        is_size = is_size and isinstance(error, Exception)
        return self._failed(503, "Prediction failed", error, is_size=is_size)

    def _failure_of(self, error: BaseException) -> tuple[int, bytes]:
        """Return (status, message) for a stream that has failed."""
        if isinstance(error, UnfitChunk | InvalidHead):
            self._log(str(error))
            return 503, failure_text(str(error))
        failure = self._failure(error, is_size=False)
        return failure.status, failure_text(failure.message)

    def _unfit(self, message: str, came: str, count: int, *, is_size: bool = False) -> _Failed:
        each = "the request" if count == 1 else f"each of the {count} requests"
        problem = f"the entry point returned {came}; a list with one result for {each} is right"
        self._log(problem)
        size_problem = problem if is_size else ""
        return _Failed(
            503, self._told(message, problem), size_problem=size_problem, tensor_status=500
        )

    def _told(self, message: str, problem: str) -> str:
        """MMS's text, with `debug_errors` also what is behind it."""
        return f"{message}: {problem}" if self._is_open else message

    def _refused(self, error: PredictionException) -> _Failed:
        message = refusal_text(error)
        try:
            status = encode_status(error.error_code)
        except InvalidHead as problem:
            self._log(f"PredictionException with a code that cannot be sent: {problem}")
            status = 500
        self._log(f"PredictionException: {message} ({status})")
        # Clients of tensors would take a body with 200 for outputs.
        return _Failed(status, message, tensor_status=status if status >= 400 else 500)

    def _failed(
        self, status: int, message: str, error: BaseException, *, is_size: bool = False
    ) -> _Failed:
        ids = ",".join(map(str, (self._context.request_ids or {}).values()))
        failed = f"Model {self._context.model_name} failed for {ids}:{names_of_traces()}"
        write_log(f"{failed}\n{model_traceback(error)}")
        shown = shown_error(error) if is_size or self._is_open else ""
        size_problem = shown if is_size else ""
        return _Failed(
            status,
            self._told(message, shown),
            size_problem=size_problem,
            tensor_status=500 if status == 503 else status,
        )

    def _log(self, message: str) -> None:
        line = message.replace("\r", "\\r").replace("\n", "\\n")
        write_log(f"Model {self._context.model_name}: {line}\n")


def encode_metrics(metrics: Sequence[MeasuredMetric], model_version: str | None) -> list[Buffer]:
    """METRIC frames, as lines for the log and as series for Prometheus."""
    # Here, as most models have no use for it.
    from mms.worker.records.series import series_of_metric

    frames: list[Buffer] = []
    for start in range(0, len(metrics), _METRICS_A_FRAME):
        lines: list[str] = []
        series: list[dict[str, Any]] = []
        for metric in metrics[start : start + _METRICS_A_FRAME]:
            try:
                lines.append(str(metric))
                series += series_of_metric(metric, model_version)
            except Exception as error:
                # Names, values and dimensions are objects of the model's own.
                write_log(f"A metric is left out: {type(error).__name__}: {error}\n")
        frames += encode_metric_frames(lines, series, log_left_out)
    return frames


def _same_failure(failure: _Failed, batch: DecodedBatch) -> list[ResultItem]:
    message = failure_text(failure.message)
    tensors = batch.tensors or ()
    return [
        (
            index,
            FAILED,
            failure.tensor_status if place in tensors else failure.status,
            *(b"", b"", message),
        )
        for place, index in enumerate(batch.indices)
    ]
