"""Requests of a protocol of tensors to a model that reads requests of others itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

from mms.service import PredictionException
from mms.tensors.errors import InferError
from mms.tensors.server import TensorServer
from mms.tensors.tensor import InferRequest, InferResponse
from mms.wire import STREAM, Item, Load, ResultItem
from mms.wire.streams import encode_number
from mms.worker.log_records.tracebacks import refusal_text
from mms.worker.requests.answer_head import InvalidHead, encode_status
from mms.worker.streams.process import streams_of_process
from mms.worker.tensors.items import TensorItem, TensorItems

_now_ns = time.perf_counter_ns


class ServedTensors:
    """Has the model's `TensorServer` answer items."""

    def __init__(self, load: Load, server: TensorServer | None) -> None:
        """`server`: None where the model takes no tensors, which its clients are told."""
        self._server = server
        self._model_name = load.model_name
        self._items = TensorItems(load)
        self._coding_ns: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<ServedTensors of model {self._model_name}>"

    def serve_items(self, items: list[Item]) -> list[ResultItem]:
        """Return a result for each item. Raises what the model's code raises."""
        begun_ns = _now_ns()
        results: list[ResultItem] = []
        read: list[tuple[int, TensorItem]] = []
        for index, item in enumerate(items):
            try:
                if self._server is None:
                    raise InferError(f"model {self._model_name!r} takes no tensors")
                found = self._items.read(item)
                _check(self._server, found.request)
                read.append((index, found))
            except Exception as error:
                results.append(self._items.failure(index, error))
        self._coding_ns = (_now_ns() - begun_ns, 0)
        if read and self._server is not None:
            results += self._answers(self._server, read)
        return results

    def take_coding_ns(self) -> tuple[int, int] | None:
        """Return how long it took to read the last items and to write their answers; None where there were none."""
        found, self._coding_ns = self._coding_ns, None
        return found

    def _answers(
        self, server: TensorServer, read: list[tuple[int, TensorItem]]
    ) -> list[ResultItem]:
        try:
            answers = server.infer([item.request for _, item in read])
        except PredictionException as error:
            refusal = refusal_of(error)
            return [self._items.failure(index, refusal) for index, _ in read]
        if len(answers) != len(read):
            raise RuntimeError(f"{len(answers)} answers to {len(read)} requests")
        begun_ns = _now_ns()
        results = [
            self._items.write(item, answer, index)
            if isinstance(answer, InferResponse | InferError)
            else self._open_stream(item, answer, index)
            for (index, item), answer in zip(read, answers, strict=True)
        ]
        reading_ns, _ = self._coding_ns or (0, 0)
        self._coding_ns = (reading_ns, _now_ns() - begun_ns)
        return results

    def _open_stream(
        self, item: TensorItem, answers: Iterator[InferResponse | InferError], index: int
    ) -> ResultItem:
        # Here, as most models have no use for it.
        from mms.worker.streams.tensor_form import TensorForm

        pump = streams_of_process()
        if pump is None:
            return self._items.failure(
                index, InferError("answers in parts are not served here", 501)
            )
        number = pump.open(TensorForm(self._items, item), answers)
        return index, STREAM, 200, b"", b"", encode_number(number)


def _check(server: TensorServer, request: InferRequest) -> None:
    """Raise InferError for a request of a kind that the model does not take."""
    document = request.document
    if document is None:
        return
    if document.explains and not server.explains:
        raise InferError("The model gives no explanations.", 501)
    if document.problem and not server.reads_documents:
        raise InferError(document.problem)


def refusal_of(error: PredictionException) -> InferError:
    """Return the same error with the status that the model's code has chosen; 500 for one that is no error's, or
    cannot be sent."""
    try:
        status = encode_status(error.error_code)
    except InvalidHead:
        status = 500
    if status < 400:
        status = 500
    return InferError(refusal_text(error), status)
