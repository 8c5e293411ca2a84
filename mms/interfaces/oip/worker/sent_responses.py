"""What a model of Triton's sends of the answer to one request, from any thread, as a stream of answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from mms.tensors.errors import InferError
from mms.tensors.tensor import InferResponse
from mms.worker.streams.process import streams_of_process
from mms.worker.streams.stream import NOT_NOW, LastChunk

#: Responses that wait for a client until the thread that sends them has to wait, too.
_MOST_WAITING = 256


class SentResponses:
    """An iterator over the answers; NOT_NOW while the model has yet to send the next one."""

    def __init__(self, answer: Callable[[Any], InferResponse | InferError]) -> None:
        """`answer`: makes an answer of a response."""
        self._answer = answer
        self._waiting: deque[Any] = deque()
        self._has_room = threading.Condition()
        #: That of the pump, which may not wait.
        self._thread = threading.get_ident()
        self._is_final = False
        self.is_used = False
        #: Nobody waits for the rest: the client has gone, or has had an error.
        self.is_closed = False

    def __repr__(self) -> str:
        return f"<SentResponses {len(self._waiting)} wait>"

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._waiting:
            if self._is_final:
                raise StopIteration
            return NOT_NOW
        with self._has_room:
            response = self._waiting.popleft()
            self._has_room.notify()
        answer = self._answer(response)
        is_last = self._is_final and not self._waiting
        return LastChunk(answer) if is_last and isinstance(answer, InferResponse) else answer

    def send(self, response: Any, is_final: bool) -> None:
        """From any thread. What is sent to a client that has gone is dropped."""
        self.is_used = True
        with self._has_room:
            if threading.get_ident() != self._thread:
                self._has_room.wait_for(
                    lambda: self.is_closed or len(self._waiting) < _MOST_WAITING
                )
            if response is not None and not self.is_closed:
                self._waiting.append(response)
            self._is_final = self._is_final or is_final
        pump = streams_of_process()
        if pump is not None:
            pump.wake()

    def with_returned(self, response: Any) -> SentResponses:
        """Return itself, with what `execute` has returned for the request, which is then its last response."""
        if response is not None:
            self.send(response, True)
        return self

    def close(self) -> None:
        with self._has_room:
            self.is_closed = True
            self._waiting.clear()
            self._has_room.notify_all()
