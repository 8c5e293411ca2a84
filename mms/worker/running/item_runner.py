"""One batch of a model that answers items as they came: no decoding by MMS's rules, an answer for each item."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from mms.wire import (
    FAILED,
    LAST,
    SUCCEEDED,
    Item,
    Load,
    ResultItem,
    decode_batch,
    encode_result,
)
from mms.wire.answer_head import MAX_HEADERS_BYTES
from mms.wire.messages import encode_metrics
from mms.worker.loading.model import ItemServer
from mms.worker.log_records.log_lines import log_left_out, write_log
from mms.worker.log_records.running_traces import enter_requests, names_of_traces
from mms.worker.log_records.tracebacks import model_traceback, shown_error
from mms.worker.outbox import Outbox

if TYPE_CHECKING:
    from mms.tensors.server import TensorServer
    from mms.worker.tensors.served import ServedTensors


_now_ns = time.perf_counter_ns


class ItemRunner:
    """Runs batches of one model and puts the answers into an outbox."""

    def __init__(
        self,
        server: ItemServer,
        load: Load,
        outbox: Outbox,
        cancelled_ids: Collection[bytes] = (),
        tensors: TensorServer | None = None,
    ) -> None:
        """`cancelled_ids`: of requests that nobody waits for any more; what is not begun of them is left out.

        `tensors`: answers what comes by a protocol of tensors.
        """
        self._server = server
        self._tensor_server = tensors
        self._tensors: ServedTensors | None = None
        self._load = load
        self._model_name = load.model_name
        self._max_bytes = load.max_response_bytes
        self._outbox = outbox
        self._is_open = load.debug_errors
        self._names_traces = load.names_traces
        self._cancelled_ids = cancelled_ids
        #: Of the last batch, from one end to the other.
        self._elapsed_ns = 0

    def __repr__(self) -> str:
        return f"<ItemRunner of model {self._model_name}>"

    def run(
        self, sequence: int, payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
    ) -> None:
        """Run a batch. Raises ProtocolError for a bad frame, SystemExit as the code does, OSError without a front."""
        begun_ns = _now_ns()
        outbox = self._outbox
        outbox.flush_due(begun_ns, self._elapsed_ns)
        items = decode_batch(payload, attachments)
        started_ns = _now_ns()
        cancelled_ids = self._cancelled_ids
        if cancelled_ids and any(item[0] in cancelled_ids for item in items):
            results = self._serve_wanted(items)
        else:
            results = self._serve(items)
        served_ns = _now_ns() - started_ns
        series = self._server.take_series()
        if series:
            for frame in encode_metrics([], series, log_left_out):
                outbox.add([frame], _now_ns())
        # The time of a batch in which nothing went well is no measure of the model's cost.
        flags = LAST
        for _, item_flags, status, _, _, _ in results:
            if not item_flags & FAILED and status < 500:
                flags = LAST | SUCCEEDED
                break
        ended_ns = _now_ns()
        coding_ns = None
        if self._tensors is not None:
            coding_ns = self._tensors.take_coding_ns()
            if coding_ns is not None:
                served_ns = max(served_ns - sum(coding_ns), 0)
        outbox.add(
            encode_result(sequence, flags, served_ns, results, len(results), coding_ns), ended_ns
        )
        self._elapsed_ns = ended_ns - begun_ns

    def _serve_wanted(self, items: list[Item]) -> list[ResultItem]:
        cancelled_ids = self._cancelled_ids
        wanted = [index for index, item in enumerate(items) if item[0] not in cancelled_ids]
        answers = self._serve([items[index] for index in wanted]) if wanted else []
        results: dict[int, ResultItem] = {
            index: (index, FAILED, 408, b"", b"", b"Nobody waits for this request.")
            for index in range(len(items))
        }
        for index, flags, status, phrase, headers, body in answers:
            results[wanted[index]] = (wanted[index], flags, status, phrase, headers, body)
        return list(results.values())

    def _serve(self, items: list[Item]) -> list[ResultItem]:
        for item in items:
            operation = item[7]
            if operation is not None and operation.protocol:
                return self._serve_mixed(items)
        return self._checked(self._run(items, self._server.serve_items))

    def _serve_mixed(self, items: list[Item]) -> list[ResultItem]:
        """Return the results where some of the items came by a protocol of tensors."""
        if self._tensors is None:
            # Here, as most models have no use for it.
            from mms.worker.tensors.served import ServedTensors

            self._tensors = ServedTensors(self._load, self._tensor_server)
        is_tensor = [item[7] is not None and bool(item[7].protocol) for item in items]
        results: list[ResultItem] = []
        for serve, is_its in (
            (self._server.serve_items, False),
            (self._tensors.serve_items, True),
        ):
            places = [place for place, found in enumerate(is_tensor) if found is is_its]
            if places:
                chosen = [items[place] for place in places]
                served = self._run(chosen, serve, status=500 if is_its else 503)
                results += [(places[result[0]], *result[1:]) for result in served]
        return self._checked(results)

    def _run(
        self,
        items: list[Item],
        serve: Callable[[list[Item]], list[ResultItem]],
        *,
        status: int = 503,
    ) -> list[ResultItem]:
        """`status`: of what nothing foresaw."""
        self._outbox.lend()
        if self._names_traces:
            enter_requests([headers for _, _, _, _, headers, _, _, _ in items])
        try:
            return serve(items)
        except SystemExit:
            # Its end is what the model asked for; what is done already must not go with it.
            self._outbox.take_back()
            self._outbox.flush()
            raise
        except MemoryError as error:
            return self._failed(items, 507, "Out of resources", error)
        except BaseException as error:
            # Of KeyboardInterrupt, too, which nobody at a keyboard can have caused.
            return self._failed(items, status, "Prediction failed", error)
        finally:
            self._outbox.take_back()
            if self._names_traces:
                # Streams go on for other requests.
                enter_requests(())

    def _checked(self, results: list[ResultItem]) -> list[ResultItem]:
        """Refuse what the front would not take."""
        max_bytes = self._max_bytes
        for place, (index, _, _, _, headers, body) in enumerate(results):
            if len(body) > max_bytes:
                results[place] = self._refused(
                    index,
                    f"Response of {len(body)} bytes is larger than max_response_size ({max_bytes} bytes)",
                )
            elif len(headers) > MAX_HEADERS_BYTES:
                # The front would end this worker for them.
                results[place] = self._refused(
                    index,
                    f"Response headers of {len(headers)} bytes, the limit is {MAX_HEADERS_BYTES} bytes",
                )
        return results

    def _failed(
        self, items: list[Item], status: int, message: str, error: BaseException
    ) -> list[ResultItem]:
        ids = ",".join(item[0].decode("ascii", "replace") for item in items)
        failed = f"Model {self._model_name} failed for {ids}:{names_of_traces()}"
        write_log(f"{failed}\n{model_traceback(error)}")
        if self._is_open:
            message = f"{message}: {shown_error(error)}"
        body = message.encode("utf-8", "replace")
        return [(index, FAILED, status, b"", b"", body) for index in range(len(items))]

    def _refused(self, index: int, message: str) -> ResultItem:
        write_log(f"Model {self._model_name}: {message}\n")
        return index, FAILED, 500, b"", b"", message.encode()
