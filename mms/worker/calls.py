"""Calls of a model's code to other models of the server, through the front."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mms.wire import Buffer
from mms.wire.calls import Call, Called, decode_called, encode_call

#: The front's name of it.
_TOO_LARGE = "PayloadTooLarge"


class CallAnswer(NamedTuple):
    """`headers`: names in lower case. `error`: the front's name of what went wrong, empty where the model answered."""

    status: int
    headers: dict[str, str]
    body: bytes
    error: str


class CallFailed(Exception):
    """A call that got no answer at all."""


class _Waiting:
    __slots__ = ("answer", "is_answered")

    def __init__(self) -> None:
        self.is_answered = threading.Event()
        self.answer: tuple[Called, bytes] | None = None


class Caller:
    """Asks the front; any thread may. There is one in a process, connected where the process serves."""

    #: What the front may take longer than it was given, until it is believed to have lost the call.
    _GRACE_S = 5.0

    def __init__(self) -> None:
        self._send: Callable[[bytes], None] | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._next = 0
        self._max_bytes = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Caller {len(self._waiting)} under way>"

    def connect(
        self, send: Callable[[bytes], None], max_bytes: int
    ) -> Callable[[int, Buffer], None]:
        """Set what writes a frame to the front, which takes bodies of up to `max_bytes`.

        Returns what takes the frames that answer.
        """
        self._send = send
        self._max_bytes = max_bytes
        return self._on_called

    def call(
        self,
        key: str,
        body: Buffer,
        *,
        operation: str = "",
        method: str = "POST",
        path: str = "",
        content_type: str = "",
        headers: Iterable[tuple[str, str]] = (),
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> CallAnswer:
        """Return the answer of the model that this worker knows as `key`, errors of the front included.

        Raises CallFailed where there is no way to the front, or no answer came `timeout_s` and a grace later.
        """
        if self._send is None:
            raise CallFailed("this process is not connected to the server: models cannot be called")
        if (size := memoryview(body).nbytes) > self._max_bytes:
            # As the front answers a client, but here: it would end this worker for a frame that it does not believe.
            return CallAnswer(
                413,
                {"content-type": "text/plain"},
                _too_large(key, size, self._max_bytes),
                _TOO_LARGE,
            )
        waiting = _Waiting()
        with self._lock:
            self._next = sequence = (self._next + 1) & 0xFFFFFFFF
            self._waiting[sequence] = waiting
        call = Call(
            key,
            operation,
            method,
            path,
            content_type,
            list(headers),
            request_id,
            timeout_s,
        )
        try:
            self._send(encode_call(sequence, call, body))
            waiting.is_answered.wait(None if timeout_s is None else timeout_s + self._GRACE_S)
        except (OSError, ValueError) as error:
            raise CallFailed(f"the call of {key} did not reach the server: {error}") from None
        finally:
            with self._lock:
                del self._waiting[sequence]
        if waiting.answer is None:
            raise CallFailed(f"the server did not answer the call of {key}")
        called, answer_body = waiting.answer
        return CallAnswer(called.status, _parse(called.headers), answer_body, called.error)

    def _on_called(self, sequence: int, payload: Buffer) -> None:
        waiting = self._waiting.get(sequence)
        if waiting is not None:
            waiting.answer = decode_called(payload)
            waiting.is_answered.set()


def _too_large(key: str, size: int, limit: int) -> bytes:
    return f"The body for model {key} has {size} bytes, max_request_size is {limit} bytes.".encode()


def _parse(lines: str) -> dict[str, str]:
    headers = {}
    for line in lines.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers


#: The one of this process.
caller = Caller()
