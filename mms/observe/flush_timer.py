"""Calls the recorder's flush from the event loop, more often while there is much to flush.

A busy server digests its records in small portions, for the requests that wait meanwhile. To what writes them, lines
are handed more seldom: each time costs it a wake-up.
"""

from __future__ import annotations

import asyncio
import time

from mms import faults
from mms.observe.recorder import Recorder

#: Lines are in the files at the latest so long after their event.
MAX_DELAY_S = 0.1
_MIN_DELAY_S = 0.005
#: While requests come, lines are made and handed over in portions of this time: a longer one takes a processor from
#: somebody's request for longer than most of them take.
_BUSY_DELAY_S = 0.01
#: Records of one delay from which on requests come.
_BUSY_RECORDS = 20
#: So many are digested while a worker has the next request, which takes about as long.
_MEANWHILE_RECORDS = 12
#: And so often their lines are handed over then: the fewer, the less time that takes.
_MEANWHILE_PAUSE_S = 0.006
#: Records that one flush should find: they hold the loop for a third of a millisecond.
_WANTED_RECORDS = 200


def next_delay_s(records: int, delay_s: float) -> float:
    """Return when to flush next, where `records` came in the last `delay_s`."""
    if records <= _WANTED_RECORDS:
        return min(delay_s * 2, MAX_DELAY_S if records < _BUSY_RECORDS else _BUSY_DELAY_S)
    return max(delay_s * _WANTED_RECORDS / records, _MIN_DELAY_S)


class FlushTimer:
    """Flushes at least every 100 ms between `start` and `stop`."""

    def __init__(self, recorder: Recorder, delay_s: float = MAX_DELAY_S) -> None:
        """`delay_s`: until the first turn, in seconds."""
        self._recorder = recorder
        self._delay_s = delay_s
        self._handle: asyncio.TimerHandle | None = None
        self._handed_over_at = 0.0

    def __repr__(self) -> str:
        return f"<FlushTimer every {self._delay_s * 1000:.0f} ms>"

    def start(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._delay_s, self._fire)

    def stop(self) -> None:
        """Stop, and flush what is there."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._recorder.flush()

    def _fire(self) -> None:
        with faults.contained("recorder"):
            self._delay_s = next_delay_s(self._recorder.pending, self._delay_s)
            if self._recorder.logs.is_behind:
                self._delay_s = _MIN_DELAY_S
        self.start()
        with faults.contained("recorder"):
            self.turn(time.monotonic())

    def meanwhile(self, now: float) -> None:
        """Do a part of what is due soon while a worker has a lone request, so that no request waits for all of it.

        `now` is of `time.monotonic()`.
        """
        if self._recorder.pending >= _MEANWHILE_RECORDS:
            self._recorder.digest()
        elif now - self._handed_over_at >= _MEANWHILE_PAUSE_S:
            self._handed_over_at = now
            self._recorder.logs.flush()

    def turn(self, now: float) -> None:
        """Digest what there is, and hand lines over where it is time for that: `now` is of `time.monotonic()`."""
        logs = self._recorder.logs
        ago_s = now - self._handed_over_at
        is_early = ago_s + self._delay_s < logs.pause_s or (
            ago_s < _MEANWHILE_PAUSE_S and self._delay_s <= _BUSY_DELAY_S
        )
        if is_early and not logs.is_behind:
            self._recorder.digest()
        else:
            self._handed_over_at = now
            self._recorder.flush()
