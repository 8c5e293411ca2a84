"""How many frames are read in one turn of the event loop, of all connections together."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from mms import faults

#: What others wait for in a turn: 64 heads with their resets take two milliseconds.
FRAMES_IN_A_TURN = 128
#: What a connection reads at least when its turn comes.
_LEAST = 16


class Reader(Protocol):
    """A connection that has frames left."""

    def read_on(self) -> None:
        """Its turn has come: read as many as `FrameTurns.left_for_each` says."""


class FrameTurns:
    """Shares the frames of a turn among connections; those that have more wait for the next one, in their order."""

    def __init__(self) -> None:
        #: Frames that may still be read in this turn.
        self.left = FRAMES_IN_A_TURN
        self._waiting: deque[Reader] = deque()
        self._is_counting = False

    def __repr__(self) -> str:
        return f"<FrameTurns, {self.left} frames left, {len(self._waiting)} wait>"

    @property
    def left_for_each(self) -> int:
        """How many frames a connection may read now."""
        if not self._waiting:
            return self.left
        return min(self.left, max(_LEAST, self.left // (len(self._waiting) + 1)))

    def spend(self, frames: int) -> None:
        """So many have been read."""
        self.left -= frames
        if frames and not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def wait(self, reader: Reader) -> None:
        """It has frames left, and reads them later."""
        self._waiting.append(reader)
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_counting = False
        self.left = FRAMES_IN_A_TURN
        for _ in range(len(self._waiting)):
            if self.left <= 0:
                break
            reader = self._waiting.popleft()
            with faults.contained("connection"):
                reader.read_on()
        if self._waiting and not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._begin_turn)
