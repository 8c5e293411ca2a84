"""A model that a state file has and that nobody has asked for yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from mms import faults
from mms.core import Request
from mms.core.request import EXPIRED_QUEUED
from mms.errors import RequestTimeout, ServerError, ServiceUnavailable, UnexpectedError
from mms.serving.served.served_model import ServedModel

#: After an attempt that failed the next request gets its error, for so long, in seconds.
_RETRY_S: Final = 5.0


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class DormantModel(ServedModel):
    """A registration without an archive so far: what clients see in lists, and no more.

    The first request, or the first question that only its archive answers, has it made into what it was registered as.
    """

    #: Makes the model, and puts it in the place of this one. Raises what is wrong with it.
    make: Callable[[DormantModel], Awaitable[ServedModel]]
    most_workers: int
    #: How many a request starts that finds none.
    first_workers: int
    _waiting: dict[Request, None] = field(default_factory=dict)
    _task: asyncio.Task[ServedModel] | None = None
    _failure: ServerError | None = None
    _failed_at: float = 0.0

    async def woken(self) -> ServedModel:
        if self._task is None:
            if self._failure is not None and self._has_just_failed:
                raise self._failure
            if self.model.is_closed:
                raise self.model.unavailable()
            self._task = asyncio.get_running_loop().create_task(self._wake())
            # Whoever asked may be gone by then.
            self._task.add_done_callback(_seen)
        task = self._task
        await asyncio.wait((task,))
        if task.cancelled():
            raise self.model.unavailable()
        return task.result()

    async def _wake(self) -> ServedModel:
        try:
            served = await self.make(self)
        except Exception as error:
            failure = error if isinstance(error, ServerError) else None
            if failure is None:
                faults.note("restore", error, self.name, self.version)
                failure = UnexpectedError(b"")
            self._failure, self._failed_at = failure, time.monotonic()
            self._task = None
            self._fail_waiting(
                ServiceUnavailable(
                    f"Model {self.name} could not be made ready: {failure.message}",
                    retry_after_s=int(_RETRY_S),
                )
            )
            raise failure from error
        served.model.unanswered.add(self.model.unanswered)
        for request in self._taken():
            try:
                served.submit(request)
            except ServerError as error:
                request.fail(error)
            except Exception as error:
                faults.note("submit", error, self.name, self.version, request_ids=(request.id,))
                request.fail(UnexpectedError(request.id))
        return served

    def _taken(self) -> list[Request]:
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def _fail_waiting(self, error: ServerError) -> None:
        for request in self._taken():
            request.fail(error)

    def _refused(self) -> ServiceUnavailable:
        """Count a request that is not taken, and return its error."""
        self.model.unanswered.refused += 1
        can_be_made = self.most_workers > 0 and not self.model.is_closed
        if can_be_made and self._failure is not None and self._has_just_failed:
            return ServiceUnavailable(
                f"Model {self.name} could not be made ready: {self._failure.message}",
                retry_after_s=int(_RETRY_S),
            )
        return self.model.unavailable(is_coming_up=can_be_made)

    @property
    def _has_just_failed(self) -> bool:
        return self._failure is not None and time.monotonic() < self._failed_at + _RETRY_S

    # Requests

    def submit(self, request: Request) -> None:
        self.check_room()
        model, size = self.model, len(request.body)
        if size > model.bytes.room and not model.bytes.has_room(size, self._waiting):
            raise self._refused()
        model.bytes.room -= size
        self._waiting[request] = None
        if request.deadline or model.config.request_timeout_s:
            model.note_deadline(request)
            # The timer of queues does not know of it before there is a model.
            left_s = request.deadline - time.monotonic()
            asyncio.get_running_loop().call_later(max(left_s, 0.0), self._expire, request)
        waking = asyncio.ensure_future(self.woken())
        # Its requests are told.
        waking.add_done_callback(_seen)

    def check_room(self) -> None:
        model = self.model
        is_full = len(self._waiting) >= model.config.queue_capacity or model.bytes.is_full(
            self._waiting
        )
        if model.is_closed or not self.most_workers or self._has_just_failed or is_full:
            raise self._refused()

    @faults.contained("deadline")
    def _expire(self, request: Request) -> None:
        if request in self._waiting:
            del self._waiting[request]
            self.model.unanswered.expired_queued += 1
            request.fail(RequestTimeout(EXPIRED_QUEUED))

    def cancel(self, request: Request) -> None:
        if request in self._waiting:
            del self._waiting[request]
            self.model.unanswered.cancelled_queued += 1
        request.is_done = True

    def has(self, request: Request) -> bool:
        return request in self._waiting

    async def drain(self, timeout_s: float) -> bool:
        self.model.is_closed = True
        if self._task is not None and self._task.cancel():
            self._task = None
        self._fail_waiting(self.model.unavailable())
        return True

    def reopen(self) -> None:
        self.model.is_closed = False

    # What it is

    @property
    def kind(self) -> str:
        return "model"

    @property
    def is_ready(self) -> bool:
        return self.most_workers > 0 and self._failure is None

    @property
    def is_wanted(self) -> bool:
        return False

    def problems(self) -> list[str]:
        if self.is_ready:
            return []
        if self._failure is not None:
            return [f"Model {self.full_name} could not be made ready: {self._failure.message}"]
        return [f"Model {self.full_name} has no workers."]

    @property
    def max_workers(self) -> int:
        return self.most_workers

    @property
    def is_composite(self) -> bool:
        return False

    @property
    def reads_paths(self) -> bool:
        return False

    def uses(self, name: str) -> bool:
        return False


def _seen(task: asyncio.Future[ServedModel]) -> None:
    if not task.cancelled():
        task.exception()
