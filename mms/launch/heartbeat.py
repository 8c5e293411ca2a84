"""Finds workers that do not run any more though their processes exist: stopped, or hung with the interpreter's lock."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

from mms import faults
from mms.launch.connection import Link

logger = logging.getLogger("mms.launch")

#: Heartbeats that a worker may leave unanswered. Counted in heartbeats, so that a front which was itself stopped for
#: a while does not take its workers for dead.
_BEATS = 3
#: A process that uses a larger part of a processor computes, whatever it holds.
_COMPUTING_SHARE = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(slots=True)
class Sight:
    """What a process had done at a heartbeat."""

    beat: int
    cpu_s: float
    major_faults: int
    #: Runs or waits for its turn to, which a machine with much else to do may not give it; or waits for a disk, when
    #: no signal reaches it before that is done.
    is_at_work: bool


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
            self._links[link] = look_at(link.pid, self._beats)
        elif link.unanswered_beats >= _BEATS:
            now = look_at(link.pid, self._beats)
            if now is not None and not has_worked(sight, now, self._interval_s):
                link.kill(f"no sign of life for {self._timeout_s:g} seconds")
                return
            self._links[link] = now
        link.beat()


def has_worked(before: Sight, now: Sight, interval_s: float) -> bool:
    """Return whether a process did anything between two heartbeats; `interval_s`: from one heartbeat to the next.

    Heartbeats count, not the clock: while the whole machine was held up, nobody could work.
    """
    passed_s = (now.beat - before.beat) * interval_s
    return (
        now.is_at_work
        or now.major_faults != before.major_faults
        or now.cpu_s - before.cpu_s > passed_s * _COMPUTING_SHARE
    )


def look_at(pid: int, beat: int) -> Sight | None:
    """None where the process cannot be looked at: its end is told otherwise."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            # The name before may hold anything.
            members = file.read().rpartition(")")[2].split()
    except OSError:
        return _look_portably(pid, beat)
    cpu_s = (int(members[11]) + int(members[12])) / _TICKS_PER_S
    return Sight(beat, cpu_s, int(members[9]), members[0] in "RD")


def _look_portably(pid: int, beat: int) -> Sight | None:
    import psutil  # takes time that a start of the server should not

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return Sight(beat, times.user + times.system, 0, False)
