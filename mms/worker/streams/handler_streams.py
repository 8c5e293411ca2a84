"""Streams of handlers: of the items of a batch, of a batch as a whole, and chunks that are sent while `handle` runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mms.context import Context
from mms.wire import FAILED, STREAM, Buffer, ResultItem
from mms.wire.streams import END, decode_number, encode_number
from mms.worker.requests.result_encoder import ResultEncoder
from mms.worker.streams.form import ChunkForm, Head, is_async_stream
from mms.worker.streams.pump import StreamPump
from mms.worker.streams.shared_steps import SharedSteps
from mms.worker.streams.stream import PushedStream

if TYPE_CHECKING:
    from mms.tensors.tensor import InferResponse
    from mms.worker.requests.request_decoder import DecodedBatch
    from mms.worker.tensors.items import TensorItem
    from mms.worker.tensors.plain import PlainTensors


class HandlerStreams:
    """Opens the streams of one handler. Owned by the thread that runs batches."""

    def __init__(
        self,
        pump: StreamPump,
        context: Context,
        encoder: ResultEncoder,
        failure: Callable[[BaseException], tuple[int, bytes]],
        metric_frames: Callable[[list[Any]], list[Buffer]],
        *,
        is_alone: bool = False,
    ) -> None:
        """`failure`: writes (status, message) of what the model's code has raised. `metric_frames`: encodes metrics.

        `is_alone`: the context of a stream has its request alone, as the first one.
        """
        self.is_alone = is_alone
        self.context = context
        self.encoder = encoder
        self.failure = failure
        self._metric_frames = metric_frames
        self._pump = pump
        self._thread = threading.get_ident()
        self._sequence = 0
        self._batch: DecodedBatch | None = None
        #: By the place of their requests in the running call: what has been sent of their answers already.
        self._sent: dict[int, PushedStream] = {}
        encoder.open_stream = self._open
        context._send_chunk = self._send_chunk
        context._together = pump.together

    def __repr__(self) -> str:
        return f"<HandlerStreams of {self.context.model_name}>"

    def begin(self, sequence: int, batch: DecodedBatch) -> None:
        """A batch is about to run."""
        self._sequence = sequence
        self._batch = batch

    def _open(self, iterator: Any, place: int) -> Buffer:
        return encode_number(self._pump.open(HandlerForm(self, place), iterator))

    def begin_tensors(
        self, iterator: Any, place: int, index: int, writer: PlainTensors, item: TensorItem
    ) -> ResultItem:
        """Return the item that begins a stream of answers to a request of a protocol of tensors."""
        # Here, as most models have no use for it.
        from mms.worker.streams.tensor_form import TensorForm

        def response_of(value: Any) -> InferResponse:
            return writer.response_of(value, item.request)

        form = _OtherForm(self, place, TensorForm(writer.items, item, response_of))
        return index, STREAM, 200, b"", b"", encode_number(self._pump.open(form, iterator))

    def report(self, metrics: list[Any]) -> None:
        """Send metrics that a stream's code has reported."""
        self._pump.send(self._metric_frames(metrics))

    def of_batch(self, iterator: Any, count: int, batch_size: int) -> list[Any]:
        """Return a stream for each request, where the entry point itself is a generator. Raises TypeError."""
        if batch_size == 1:
            return [iterator]
        if is_async_stream(iterator):
            if count == 1:
                return [iterator]
            raise TypeError(
                f"the entry point is an async generator, for {count} requests; a list with one for each is right"
            )
        return SharedSteps(iterator, count, self._pump.cut_slow).columns()

    # Chunks that are sent while the entry point runs

    @property
    def has_sent(self) -> bool:
        return bool(self._sent)

    def _send_chunk(self, value: Any, place: int) -> bool:
        """Send a chunk of the answer of a request of the running call. Returns whether somebody waits for it.

        Waits while the client takes what was sent. Raises RuntimeError outside of the call, IndexError, UnfitChunk,
        InvalidHead, and OSError without a front.
        """
        if threading.get_ident() != self._thread:
            raise RuntimeError("send_chunk is for the thread that handle runs on")
        batch = self._batch
        if batch is None or self.context._ids is not batch.ids:
            # A generator has `yield`; the places of a later batch are those of other clients.
            raise RuntimeError(
                "send_chunk is for handle, while it runs; a generator yields its parts"
            )
        if not 0 <= place < len(batch.ids):
            raise IndexError(f"there is no request {place} in this batch")
        stream = self._sent.get(place)
        if stream is None:
            stream = self._sent[place] = self._pump.open_pushed(HandlerForm(self, place))
            index = batch.indices[place]
            begun = (index, STREAM, 200, b"", b"", encode_number(stream.number))
            self._pump.announce(self._sequence, begun)
        if not self._pump.wait_for_credit(stream):
            return False
        body = self.encoder.chunk(value)
        self._pump.push(stream, stream.item(0, body))
        return True

    def end(self, results: list[ResultItem]) -> list[ResultItem]:
        """The batch is done: end the answers of which chunks were sent, with what the entry point has returned.

        Returns the other results.
        """
        batch, self._batch = self._batch, None
        if not self._sent:
            return results
        sent, self._sent = self._sent, {}
        assert batch is not None
        streams = {batch.indices[place]: stream for place, stream in sent.items()}
        rest = []
        for result in results:
            stream = streams.get(result[0])
            if stream is None:
                rest.append(result)
            elif result[1] & STREAM:
                # It goes on with what the handler has returned an iterator for.
                self._pump.follow(stream, decode_number(result[5]))
            elif not stream.is_ended:
                self._end(stream, result)
        return rest

    def _end(self, stream: PushedStream, result: ResultItem) -> None:
        _, flags, status, _, _, body = result
        if flags & FAILED:
            stream.is_ended = True
            self._pump.push(stream, (stream.number, FAILED, status, b"", b"", body))
        else:
            self._pump.push(stream, stream.item(END, body))


class HandlerForm:
    """The form of one request's stream: written as a whole answer is, in the context of its own batch."""

    def __init__(self, streams: HandlerStreams, place: int) -> None:
        """`place`: of its request in the call."""
        self._streams = streams
        self._context = context = streams.context
        if streams.is_alone:
            self._place, self._state = 0, context._copied_request(place)
        else:
            self._place, self._state = place, context._copied_batch()

    def enter(self) -> None:
        self._state = self._context._exchange_batch(self._state)

    def leave(self) -> None:
        metrics = self._context._taken_metrics()
        if metrics:
            self._streams.report(metrics)
            self._context._drop_metrics()
        self._state = self._context._exchange_batch(self._state)

    def head(self) -> Head:
        return self._streams.encoder.head(self._context, self._place)

    def body(self, value: Any) -> Buffer:
        return self._streams.encoder.chunk(value)

    def failure(self, error: BaseException) -> tuple[int, bytes]:
        return self._streams.failure(error)


class _OtherForm(HandlerForm):
    """Written as another form does, in the context of its own batch."""

    def __init__(self, streams: HandlerStreams, place: int, form: ChunkForm) -> None:
        super().__init__(streams, place)
        self._form = form

    def head(self) -> Head:
        return self._form.head()

    def body(self, value: Any) -> Buffer:
        return self._form.body(value)

    def failure(self, error: BaseException) -> tuple[int, bytes]:
        return self._form.failure(error)
