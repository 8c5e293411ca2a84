"""Finds workers that do not run any more though their processes exist: stopped, or hung with the interpreter's lock."""

from __future__ import annotations

import asyncio
import logging

from mms import faults
from mms.launch.connection import Link
from mms.processes.activity import Sight, has_worked

logger = logging.getLogger("mms.launch")

#: Heartbeats that a worker may leave unanswered. Counted in heartbeats, so that a front which was itself stopped for
#: a while does not take its workers for dead.
_BEATS = 3


class Heartbeats:
    """Asks all serving workers in turn, and kills those that have not answered for `timeout_s`.

    A worker answers in a thread of its own, whatever the model's code does; native code that holds the interpreter's
    lock keeps it from that. As long as such code uses the processor or reads from a disk it is taken for work, which
    the response timeout ends.
    """

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` 0: nobody is asked."""
        self._timeout_s = timeout_s
        self._interval_s = timeout_s / _BEATS
        self._beats = 0
        self._links: dict[Link, Sight | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Heartbeats of {len(self._links)} workers, {self._timeout_s:g} s>"

    def watch(self, link: Link) -> None:
        """Watch the worker until the link is closed. Call when the model has loaded."""
        if not self._timeout_s or link.closed.done():
            return
        self._links[link] = None
        link.closed.add_done_callback(lambda _: self._links.pop(link, None))
        self._schedule()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._links.clear()

    def _schedule(self) -> None:
        if self._timer is None and self._links:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._interval_s, self._beat)

    def _beat(self) -> None:
        self._timer = None
        self._beats += 1
        for link, sight in list(self._links.items()):
            try:
                self._ask(link, sight)
            except Exception as error:
                faults.note("heartbeat", error, *link.model)
                with faults.contained("kill", *link.model):
                    link.kill(f"unexpected error in its heartbeat: {error}")
        self._schedule()

    def _ask(self, link: Link, sight: Sight | None) -> None:
        if not link.unanswered_beats:
            self._links[link] = None
        elif sight is None:
            self._links[link] = link.look(self._beats)
        elif link.unanswered_beats >= _BEATS:
            now = link.look(self._beats)
            if now is not None and not has_worked(sight, now, self._interval_s):
                link.kill(f"no sign of life for {self._timeout_s:g} seconds")
                return
            self._links[link] = now
        link.beat()
