"""Answers requests of other fronts of the cluster by the workers of this one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from mms import faults
from mms.core import Registry
from mms.errors import ModelNotFound, ServerError
from mms.launch import LaunchFailed
from mms.launch.nodes.assignment import Assignment
from mms.serving.served import PooledModel, ServedModel
from mms.serving.shared.lending.lent_worker import Lender, LentWorker

__all__ = ["Lender", "Lending"]

#: How often it is looked whether a model has loaded that is to be lent, in seconds at most.
_LOOK_S: Final = 0.5
#: How long a model is waited for that this front does not have yet, in seconds.
_UNKNOWN_S: Final = 10.0


class Lending:
    """Dials other fronts as a worker of one of this front's models. Called on the event loop."""

    def __init__(
        self,
        registry: Registry[ServedModel],
        lender: Lender,
        load_ended: Callable[[], Awaitable[None]],
    ) -> None:
        """`load_ended`: returns when the next load of any worker has ended."""
        self._registry = registry
        self._lender = lender
        self._load_ended = load_ended
        self._loans: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Lending, {len(self._loans)} loans>"

    def close(self) -> None:
        """End all loans: borrowers go elsewhere."""
        for loan in self._loans:
            loan.cancel()

    def answering_by(
        self, answer: Callable[[int, str], None]
    ) -> Callable[[int, Mapping[str, Any]], None]:
        """Return what takes a number and a loan that another front asks for. `answer` is called with both, once."""
        return lambda number, loan: self.lend(loan, partial(answer, number))

    def lend(self, loan: Mapping[str, Any], answer: Callable[[str], None]) -> None:
        """Serve a front as a worker. `answer` is called once, with why that cannot be; empty: it is dialled."""
        task = asyncio.get_running_loop().create_task(self._lend(loan, answer))
        self._loans.add(task)
        task.add_done_callback(self._loans.discard)

    async def _lend(self, loan: Mapping[str, Any], answer: Callable[[str], None]) -> None:
        name, version = str(loan["model"]), loan["version"]
        lent: LentWorker | None = None
        try:
            served = await self._loaded(name, version)
            lent = LentWorker(self._lender, served)
            await lent.dial(Assignment.of_members(loan["assignment"]))
        except asyncio.CancelledError:
            if lent is None:
                answer("it is ending")
            raise
        except (LaunchFailed, OSError, asyncio.TimeoutError) as error:
            answer(str(error) or type(error).__name__)
        except Exception as error:
            faults.note("lending", error, name, version)
            answer(f"unexpected {type(error).__name__}")
        else:
            answer("")
            await lent.lost
        finally:
            if lent is not None:
                lent.close()

    async def _loaded(self, name: str, version: str | None) -> PooledModel:
        """Return a model once a worker of this front has loaded it. Raises LaunchFailed where that will not be."""
        until = time.monotonic() + _UNKNOWN_S
        while True:
            served: ServedModel | None = None
            try:
                served = await self._registry.get(name, version).woken()
            except ModelNotFound:
                if time.monotonic() > until:
                    raise LaunchFailed("it does not have the model") from None
            except ServerError as error:
                raise LaunchFailed(error.message or type(error).__name__) from None
            if served is not None:
                if not isinstance(served, PooledModel):
                    raise LaunchFailed("it is no model with workers")
                if served.is_loaded and served.has_own_workers:
                    return served
                if served.is_on_demand:
                    served.model.demand_worker()
                if served.has_failed_to_load:
                    raise LaunchFailed("it could not load the model")
            try:
                await asyncio.wait_for(self._load_ended(), _LOOK_S)
            except asyncio.TimeoutError:
                continue
