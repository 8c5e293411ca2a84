"""A copy of a served model, on which numbers are tried: registered for a search, and gone with it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mms.load_test import LatencyGoal, LoadPlan, LoadResult, PoissonArrivals
from mms.load_test.saturation import CLIENTS
from mms.load_test.schedules import ClosedLoop
from mms.load_test.tuning import Numbers, Probe

if TYPE_CHECKING:
    from mms.client import AsyncClient

T = TypeVar("T")

_MARK: Final = "-tune-"
_NOT_FOUND: Final = 404
#: How often, and after how long, a server is asked once more to take the copy away.
_TRIES, _PAUSE_S = 5, 1.0


class Stopped(Exception):
    """The user has stopped the search."""


class CannotRun(Exception):
    """The model cannot run with some numbers. The message is the server's."""


class TunedCopy:
    """The copy. `name` is its name at the server."""

    def __init__(self, client: AsyncClient, model: str, stop: asyncio.Event) -> None:
        self._client = client
        self._model = model
        self._stop = stop
        self._numbers: Numbers | None = None
        self._probes = 0
        self.name = f"{model}{_MARK}{os.getpid():x}{secrets.token_hex(3)}"

    def __repr__(self) -> str:
        return f"<TunedCopy {self.name} with {self._numbers}>"

    async def leftovers(self) -> list[str]:
        """Return copies that searches have left which were killed; those of others that run now are among them."""
        return [
            n for n in await self._client.models.names() if n.startswith(f"{self._model}{_MARK}")
        ]

    async def register(self) -> None:
        """Register it, without workers yet."""
        await self._client.models.register(
            copy_of=self._model, model_name=self.name, initial_workers=0, synchronous=False
        )

    async def remove(self) -> None:
        """Take it away, whatever state it is in. Raises ClientError where the server does not."""
        from mms.client import ClientError, ServerRefused

        for attempt in range(_TRIES):
            try:
                await self._client.models.unregister(self.name)
                return
            except ServerRefused as error:
                is_coming = "being registered" in str(error)
                if error.status == _NOT_FOUND and not is_coming:
                    return
                if attempt == _TRIES - 1:
                    raise
            except ClientError:
                if attempt == _TRIES - 1:
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def probe(self, probe: Probe, plan: LoadPlan, goal: LatencyGoal) -> LoadResult:
        """Run one load. Raises Stopped, CannotRun, ClientError, OSError."""
        await self.apply(probe.numbers)
        self._probes += 1
        if probe.rate is None:
            result = await plan.run(ClosedLoop(CLIENTS))
        else:
            result = await plan.run(PoissonArrivals(probe.rate, self._probes), goal)
        if self._stop.is_set():
            raise Stopped
        if probe.rate is not None and not result.holds(goal):
            await plan.settle(goal)
        return result

    async def apply(self, numbers: Numbers) -> None:
        """Have the copy run with these numbers; its workers have loaded when this returns."""
        from mms.client import ServerRefused

        before, self._numbers = self._numbers, None
        if numbers != before:
            changes: dict[str, Any] = {
                "batch_size": numbers.batch_size,
                "max_batch_delay": numbers.delay_ms,
                "threads_per_worker": numbers.threads,
                # Nothing but the search decides how many workers there are.
                "scale_target_ms": 0,
            }
            try:
                await self._unless_stopped(
                    self._client.models.scale(self.name, numbers.workers, **changes)
                )
            except ServerRefused as error:
                raise CannotRun(str(error)) from None
        self._numbers = numbers

    async def _unless_stopped(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        waited: Sequence[asyncio.Future[Any]] = (task, stopped)
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Stopped
            return task.result()
        finally:
            for each in waited:
                each.cancel()
            await asyncio.gather(*waited, return_exceptions=True)
