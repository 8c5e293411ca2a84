"""Calls of workers to other models: requests like any other, answered over the worker's control connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mms.core import Request
from mms.core.ids import new_request_id
from mms.durations import bounded_s
from mms.errors import ModelNotFound, RequestTimeout, ServerError
from mms.wire.calls import Call, Called, decode_call, encode_called

if TYPE_CHECKING:
    from mms.core.request import Buffer

#: Ids are headers and log fields; what is longer or stranger than this is replaced.
_MAX_ID_CHARS = 128


class CallableModels(Protocol):
    """The models of the server; the model host."""

    def submit_call(self, request: Request) -> None:
        """Take a request of a worker. Raises as `submit`."""

    def cancel(self, request: Request) -> None: ...

    def interface_of(self, name: str) -> str: ...


class CallingLink(Protocol):
    """A worker that is to be answered."""

    def answer_call(self, frame: bytes) -> None: ...

    def kill(self, reason: str) -> None: ...


class _CallReply:
    """Takes the answer of a call's request."""

    __slots__ = ("_calls", "_link", "_sequence", "timer")

    def __init__(self, calls: WorkerCalls, link: CallingLink, sequence: int) -> None:
        self._calls = calls
        self._link = link
        self._sequence = sequence
        self.timer: asyncio.TimerHandle | None = None

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._end(request, Called(status, headers.decode("latin-1")), body)

    def fail(self, request: Request, error: ServerError) -> None:
        self._end(request, _refusal(error), str(error).encode())

    def give_up(self) -> None:
        """The caller would wait for ever."""
        if self.timer is not None:
            self.timer.cancel()
        self._link.kill("the failure of its call could not be told")

    def _end(self, request: Request, called: Called, body: Buffer) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self._calls.forget(request)
        self._link.answer_call(encode_called(self._sequence, called, body))


class WorkerCalls:
    """The calls of one worker. Called on the event loop."""

    def __init__(self, models: CallableModels, calls: Mapping[str, Any]) -> None:
        """`calls`: key -> [name, version or None] of each model that this worker may call."""
        self._models = models
        self._calls = calls
        self._under_way: set[Request] = set()

    def __repr__(self) -> str:
        return f"<WorkerCalls {len(self._under_way)} under way>"

    def take(self, link: CallingLink, sequence: int, payload: Buffer) -> None:
        """Serve a CALL frame. Raises ProtocolError for one that is none."""
        call, body = decode_call(payload)
        reply = _CallReply(self, link, sequence)
        target = self._calls.get(call.key)
        if target is None:
            known = " | ".join(self._calls) or "none"
            error = ModelNotFound(f"model {call.key} is none that may be called here: {known}")
            link.answer_call(encode_called(sequence, _refusal(error), str(error).encode()))
            return
        name, version = target
        timeout_s = None if call.timeout_s is None else bounded_s(call.timeout_s)
        now = time.monotonic()
        request = Request(
            id=_id_of(call),
            name=name,
            version=version,
            passes_query=False,
            content_type=call.content_type.encode("latin-1", "replace"),
            query=b"",
            headers=self._header_block(call, name),
            body=body,
            reply=reply,
            received_at=now,
            deadline=0.0 if timeout_s is None else now + timeout_s,
        )
        self._under_way.add(request)
        try:
            self._models.submit_call(request)
        except ServerError as error:
            request.fail(error)
            return
        if timeout_s is not None and not request.is_done:
            loop = asyncio.get_running_loop()
            reply.timer = loop.call_later(timeout_s, self._expire, request, timeout_s)

    def forget(self, request: Request) -> None:
        self._under_way.discard(request)

    def drop(self) -> None:
        """The worker is gone: nobody waits for its calls."""
        under_way, self._under_way = self._under_way, set()
        for request in under_way:
            self._cancel(request)

    def _expire(self, request: Request, timeout_s: float) -> None:
        if request.is_done:
            return
        self._models.cancel(request)
        # Cancelling ends a request that was still queued without an answer.
        request.is_done = False
        request.fail(
            RequestTimeout(f"Model {request.name} did not answer within {timeout_s:g} seconds.")
        )

    def _cancel(self, request: Request) -> None:
        timer = request.reply.timer if isinstance(request.reply, _CallReply) else None
        if timer is not None:
            timer.cancel()
        self._models.cancel(request)
        request.is_done = True

    def _header_block(self, call: Call, name: str) -> bytes:
        pairs = [pair for pair in call.headers if not pair[0].startswith(":")]
        if call.content_type:
            pairs.append(("Content-Type", call.content_type))
        if self._models.interface_of(name) in ("mlrun", "auto"):
            own = [(":operation", call.operation), (":method", call.method)]
            if call.path:
                own.append((":path", call.path))
            pairs = own + pairs
        # A line feed would end the value.
        parts = [part.replace("\n", " ") for pair in pairs for part in pair]
        return "\n".join(parts).encode("utf-8", "replace")


def _refusal(error: ServerError) -> Called:
    return Called(error.http_status, "Content-Type: text/plain\r\n", type(error).__name__)


def _id_of(call: Call) -> bytes:
    text = call.request_id
    if text and len(text) <= _MAX_ID_CHARS and text.isascii() and text.isprintable():
        return text.encode()
    return new_request_id()
