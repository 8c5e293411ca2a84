"""Calls of workers to other models: requests like any other, answered over the worker's control connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mms import faults
from mms.core.ids import new_request_id
from mms.errors import ModelNotFound, ServerError, UnexpectedError
from mms.interfaces import AUTO, find_interface
from mms.serving.model_client import ModelAnswer, ModelClient
from mms.text.durations import bounded_s
from mms.wire import ModelOperation
from mms.wire.calls import Call, Called, decode_call, encode_called

if TYPE_CHECKING:
    from mms.core.request import Buffer

#: Ids are headers and log fields; what is longer or stranger than this is replaced.
_MAX_ID_CHARS = 128
_TEXT_LINE = "Content-Type: text/plain\r\n"


class CallingLink(Protocol):
    """A worker that is to be answered."""

    def answer_call(self, frame: bytes) -> None: ...

    def kill(self, reason: str) -> None: ...


class WorkerCalls:
    """The calls of one worker. Called on the event loop."""

    def __init__(self, client: ModelClient, calls: Mapping[str, Any]) -> None:
        """`calls`: key -> [name, version or None] of each model that this worker may call."""
        self._client = client
        self._calls = calls
        self._under_way: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<WorkerCalls {len(self._under_way)} under way>"

    def take(self, link: CallingLink, sequence: int, payload: Buffer) -> None:
        """Serve a CALL frame. Raises ProtocolError for one that is none."""
        call, body = decode_call(payload)
        serving = asyncio.get_running_loop().create_task(self._serve(link, sequence, call, body))
        self._under_way.add(serving)
        serving.add_done_callback(self._under_way.discard)

    def drop(self) -> None:
        """The worker is gone: nobody waits for its calls."""
        for serving in self._under_way:
            serving.cancel()

    async def _serve(self, link: CallingLink, sequence: int, call: Call, body: bytes) -> None:
        try:
            try:
                answer = await self._answer(call, body)
            except Exception as fault:
                error = fault
                if not isinstance(error, ServerError):
                    faults.note("call", error, call.key)
                    error = UnexpectedError(_id_of(call))
                refusal = Called(error.http_status, _TEXT_LINE, type(error).__name__)
                link.answer_call(encode_called(sequence, refusal, str(error).encode()))
            else:
                called = Called(answer.status, answer.headers.decode("latin-1"))
                link.answer_call(encode_called(sequence, called, answer.body))
        except Exception as error:
            faults.note("call", error, call.key)
            # The caller would wait for ever.
            link.kill("its call could not be answered")

    async def _answer(self, call: Call, body: bytes) -> ModelAnswer:
        target = self._calls.get(call.key)
        if target is None:
            known = " | ".join(self._calls) or "none"
            raise ModelNotFound(f"model {call.key} is none that may be called here: {known}")
        name, version = target
        timeout_s = None if call.timeout_s is None else bounded_s(call.timeout_s)
        # Its deadline is the model's to keep.
        return await self._client.ask(
            name,
            version,
            id=_id_of(call),
            headers=_header_block(call),
            content_type=call.content_type.encode("latin-1", "replace"),
            body=body,
            deadline=0.0 if timeout_s is None else time.monotonic() + timeout_s,
            operation=self._operation_of(call, name),
        )

    def _operation_of(self, call: Call, name: str) -> ModelOperation | None:
        interface = self._client.models.interface_of(name)
        if interface != AUTO and not find_interface(interface).takes_operations:
            return None
        return ModelOperation(call.operation, call.method, call.path)


def _header_block(call: Call) -> bytes:
    pairs = list(call.headers)
    if call.content_type:
        pairs.append(("Content-Type", call.content_type))
    # A line feed would end the value.
    parts = [part.replace("\n", " ") for pair in pairs for part in pair]
    return "\n".join(parts).encode("utf-8", "replace")


def _id_of(call: Call) -> bytes:
    text = call.request_id
    if text and len(text) <= _MAX_ID_CHARS and text.isascii() and text.isprintable():
        return text.encode()
    return new_request_id()
