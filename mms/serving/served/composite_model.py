"""A model that the front answers for by asking other models: its requests, from the first step to the one reply."""

from __future__ import annotations

import asyncio
import math
import time
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mms import faults
from mms.core import Request
from mms.errors import (
    InvalidModel,
    RequestTimeout,
    ServiceUnavailable,
    UnexpectedError,
)
from mms.serving.served.served_model import ServedModel


class DependencyMissing(InvalidModel):
    """A model that a composite one asks is not registered."""


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class CompositeModel(ServedModel):
    """A graph, a router or an ensemble: it has no workers, the models that it asks do."""

    _runs: dict[Request, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _is_closed: bool = field(default=False, init=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {len(self._runs)} requests running>"

    @abstractmethod
    def describe_graph(self) -> dict[str, Any]:
        """Return which models it asks, and how they do: JSON-able."""

    @abstractmethod
    async def answer(self, request: Request) -> None:
        """Reply to a request. A cancelled one has its reply, or needs none."""

    # Requests

    @property
    def running(self) -> int:
        """Requests that have no reply yet."""
        return len(self._runs)

    def submit(self, request: Request) -> None:
        if self._is_closed:
            raise ServiceUnavailable(
                f"The {self.kind} {self.name} is being removed.", retry_after_s=1
            )
        timeout_s = self.model.config.request_timeout_s
        if timeout_s:
            request.deadline = min(request.deadline or math.inf, request.received_at + timeout_s)
        loop = asyncio.get_running_loop()
        task = loop.create_task(self.answer(request))
        self._runs[request] = task
        # Not at the end of the coroutine: one that is cancelled before its first step has no end.
        task.add_done_callback(partial(self._on_end, request))
        if request.deadline:
            left_s = max(request.deadline - time.monotonic(), 0.0)
            timer = loop.call_later(left_s, self._expire, request, task)
            task.add_done_callback(lambda _: timer.cancel())

    def check_room(self) -> None:
        """It has no queue."""

    def _on_end(self, request: Request, task: asyncio.Task[None]) -> None:
        self._runs.pop(request, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            faults.note(self.kind, error, self.name, request_ids=(request.id,))
            request.fail(UnexpectedError(request.id))

    def cancel(self, request: Request) -> None:
        """The client is gone: the requests that were made for it are cancelled, too."""
        request.is_done = True
        task = self._runs.get(request)
        if task is not None:
            task.cancel()

    def has(self, request: Request) -> bool:
        return request in self._runs

    def _expire(self, request: Request, task: asyncio.Task[None]) -> None:
        request.fail(
            RequestTimeout(
                f"The request's deadline passed while the {self.kind} {self.name} answered it."
            )
        )
        task.cancel()

    async def drain(self, timeout_s: float) -> bool:
        """What is left when the time is over fails."""
        self._is_closed = True
        tasks = list(self._runs.values())
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for request in [found for found, task in self._runs.items() if task in late]:
            request.fail(ServiceUnavailable(f"The {self.kind} {self.name} was removed."))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    def reopen(self) -> None:
        self._is_closed = False

    # What it is

    @property
    def is_wanted(self) -> bool:
        return True

    def problems(self) -> list[str]:
        if self.is_ready:
            return []
        name = f"Model {self.name}" + (f" {self.version}" if self.version else "")
        return [f"{name}: a model that it calls is not ready."]

    @property
    def is_composite(self) -> bool:
        return True

    @property
    def takes_tensors(self) -> bool:
        return False

    @property
    def reads_paths(self) -> bool:
        return False

    def describe_composition(self) -> dict[str, Any]:
        return {"graph": self.describe_graph()}
