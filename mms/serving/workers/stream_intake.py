"""The streams of one worker: its frames on their way to the replies of their requests."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mms import faults
from mms.core import ModelVersion, Worker
from mms.core.request import Buffer, Request
from mms.core.streams.open_stream import OpenStream
from mms.core.streams.places import end_stream, open_stream
from mms.core.streams.replies import begin_stream
from mms.errors import WorkerFailure
from mms.serving.dispatcher import Dispatcher
from mms.wire import FAILED, ProtocolError
from mms.wire.answer_head import check_head
from mms.wire.streams import BEGUN, END, decode_chunks, decode_number


def failure_of(status: int, phrase: bytes, body: Buffer) -> WorkerFailure:
    """Return the error of an item that a worker says has failed."""
    return WorkerFailure(str(body, "utf-8", "replace"), status, phrase.decode("latin-1") or None)


class StreamIntake:
    """Takes what a worker says of its streams. Called from the event loop."""

    def __init__(
        self, model: ModelVersion, worker: Worker, dispatcher: Dispatcher, max_bytes: int
    ) -> None:
        """`max_bytes`: of an answer whose parts have to be put together."""
        self._model = model
        self._worker = worker
        self._dispatcher = dispatcher
        self._max_bytes = max_bytes

    def __repr__(self) -> str:
        return f"<StreamIntake of {self._worker!r}>"

    def open(self, request: Request, body: Buffer) -> None:
        """Take an item that begins a stream. Raises ProtocolError."""
        number = decode_number(body)
        open_stream(self._model, self._worker, number, request, time.monotonic(), self._grant)

    def _grant(self, number: int, more_bytes: int) -> None:
        """Give a stream more credit. Where that fails it is silent from then on, for which it has a limit."""
        link = self._worker.link
        if link is not None:
            with faults.contained("grant", self._model.name, self._model.version):
                link.grant(number, more_bytes)

    def take(self, payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]) -> None:
        """Take a CHUNK frame. Raises ProtocolError."""
        streams = self._worker.streams
        now = time.monotonic()
        for number, flags, status, phrase, headers, body in decode_chunks(payload, attachments):
            stream = streams.find(number)
            request = stream.request
            if flags & FAILED:
                if not request.is_done:
                    self._model.streams.failed += 1
                    request.fail(failure_of(status, phrase, body))
                end_stream(self._model, self._worker, stream)
                continue
            if not flags & END:
                stream.use(body, now)
            if not request.is_done and not stream.has_begun:
                if not flags & BEGUN:
                    raise ProtocolError(f"stream {number} begins without a head")
                check_head(status, phrase, headers)
                self._begin(stream, (status, phrase, headers), now)
            if body and not request.is_done:
                self._pass_on(stream, body)
            if flags & END:
                if not request.is_done:
                    self._model.streams.completed += 1
                    request.end_stream()
                end_stream(self._model, self._worker, stream)

    def _begin(self, stream: OpenStream, head: tuple[int, bytes, bytes], now: float) -> None:
        model, request = self._model, stream.request
        stream.has_begun = True
        if not begin_stream(request, head, stream, self._max_bytes):
            stream.close()
        elapsed_s = now - request.received_at
        with faults.contained("recorder", model.name, model.version):
            self._dispatcher.record_first_chunk((model.name, model.version or "", elapsed_s))

    def _pass_on(self, stream: OpenStream, body: Buffer) -> None:
        counts = self._model.streams
        counts.chunks += 1
        counts.chunk_bytes += len(body)
        if not stream.request.send_chunk(body):
            stream.close()
