"""Changes of one archive or model, which are acted upon one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mms.errors import ServerError, WorkerStartFailed

#: Acts upon what a thing is by now. What it is given is done once the thing has changed again, so that what is tried
#: need not be waited for.
Act = Callable[["asyncio.Future[None]"], Awaitable[None]]


class NewestChange:
    """Acts upon a change at once, and of those that come meanwhile upon the newest one. Called on the event loop."""

    def __init__(self, act: Act) -> None:
        """`act`: what it raises ends the changes that have come by then."""
        self._act = act
        #: What acts now. What takes long, or hangs, holds up no other thing.
        self.task: asyncio.Task[None] | None = None
        #: It has changed since the task began to act.
        self._is_due = False
        self._superseded: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<NewestChange {'at rest' if self.task is None else 'is acted upon'}>"

    def come(self) -> asyncio.Task[None]:
        """Have it acted upon. Return the task, which ends when nothing is left to be done."""
        self._is_due = True
        if self._superseded is not None and not self._superseded.done():
            self._superseded.set_result(None)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run())
        return self.task

    def close(self) -> None:
        """Act no more."""
        if self.task is not None:
            self.task.cancel()

    async def _run(self) -> None:
        try:
            while self._is_due:
                self._is_due = False
                self._superseded = asyncio.get_running_loop().create_future()
                await self._act(self._superseded)
        finally:
            self.task = None


def reason_of(error: ServerError) -> str:
    """Return why a model cannot be served, as a sentence."""
    reason = error.reason if isinstance(error, WorkerStartFailed) else ""
    text = reason or error.message or type(error).__name__
    return text if text.endswith(".") else text + "."
