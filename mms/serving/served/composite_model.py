"""Models that the front answers itself, by asking others: their requests, from the first step to the one reply."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

from mms import faults
from mms.core import ModelVersion, Request
from mms.errors import RequestTimeout, ServiceUnavailable, UnexpectedError
from mms.serving.tracking.model_tracking import ModelTracking


class FrontModel(ABC):
    """Owner of a model's running requests. Each gets exactly one reply. Called on the event loop."""

    def __init__(self, name: str, kind: str) -> None:
        """`kind`: what clients are told that it is, such as `graph`."""
        self.name = name
        self._kind = kind
        #: What its registration says of its requests; it knows the time limit.
        self.model: ModelVersion | None = None
        #: Where records of its requests go.
        self.tracking: ModelTracking | None = None
        self._runs: dict[Request, asyncio.Task[None]] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {len(self._runs)} requests running>"

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether all models that it asks have a worker that has loaded."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """JSON-able."""

    @abstractmethod
    async def _run(self, request: Request) -> None:
        """Reply to a request. A cancelled one has its reply, or needs none."""

    @property
    def running(self) -> int:
        """Requests that have no reply yet."""
        return len(self._runs)

    def has(self, request: Request) -> bool:
        """Whether a request runs here."""
        return request in self._runs

    def submit(self, request: Request) -> None:
        """Take a request; exactly one reply follows. Raises ServiceUnavailable at once where the model is going."""
        if self._is_closed:
            raise ServiceUnavailable(
                f"The {self._kind} {self.name} is being removed.", retry_after_s=1
            )
        timeout_s = self.model.config.request_timeout_s if self.model is not None else 0.0
        if timeout_s:
            request.deadline = min(request.deadline or math.inf, request.received_at + timeout_s)
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run(request))
        self._runs[request] = task
        # Not at the end of the coroutine: one that is cancelled before its first step has no end.
        task.add_done_callback(partial(self._on_end, request))
        if request.deadline:
            left_s = max(request.deadline - time.monotonic(), 0.0)
            timer = loop.call_later(left_s, self._expire, request, task)
            task.add_done_callback(lambda _: timer.cancel())

    def _on_end(self, request: Request, task: asyncio.Task[None]) -> None:
        self._runs.pop(request, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            faults.note(self._kind, error, self.name, request_ids=(request.id,))
            request.fail(UnexpectedError(request.id))

    def cancel(self, request: Request) -> None:
        """The client is gone: the requests that were made for it are cancelled, too."""
        request.is_done = True
        task = self._runs.get(request)
        if task is not None:
            task.cancel()

    def _expire(self, request: Request, task: asyncio.Task[None]) -> None:
        request.fail(
            RequestTimeout(
                f"The request's deadline passed while the {self._kind} {self.name} answered it."
            )
        )
        task.cancel()

    async def drain(self, timeout_s: float) -> bool:
        """Take no more requests, answer what runs. Returns whether the time was enough; what is left then fails."""
        self._is_closed = True
        tasks = list(self._runs.values())
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for request in [found for found, task in self._runs.items() if task in late]:
            request.fail(ServiceUnavailable(f"The {self._kind} {self.name} was removed."))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    def reopen(self) -> None:
        """The removal has been given up."""
        self._is_closed = False
