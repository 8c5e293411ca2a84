"""What workers print and send, passed on in turns, so that one that does so without end does not keep the loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from mms import faults

_Item = TypeVar("_Item")

#: For how long lines are passed on without a break, in seconds.
_TURN_S = 0.005
#: How long the break is, by what came before it: lines of all workers take a quarter of the loop's time.
_BREAK_FACTOR = 3.0
#: So much of breaks is forgiven after a silence, in seconds: an ordinary burst of lines waits for nothing.
_FORGIVEN_S = 0.1


class LineTurns:
    """Shares a quarter of the loop's time out among all whose lines wait. Owned by the loop."""

    def __init__(self, forgiven_s: float = _FORGIVEN_S) -> None:
        self._forgiven_s = forgiven_s
        #: Whose turn it is next comes first.
        self._waiting: deque[Lines[Any]] = deque()
        #: Until when there is a break.
        self._break_until = 0.0

    def __repr__(self) -> str:
        return f"<LineTurns, {len(self._waiting)} wait>"

    def may_begin(self) -> bool:
        """Return whether a turn may begin now that nobody waits for."""
        return not self._waiting and self._break_until <= time.monotonic()

    def wait(self, lines: Lines[Any]) -> None:
        self._waiting.append(lines)
        if len(self._waiting) == 1:
            self._schedule()

    def spend(self, began_at: float, ended_at: float) -> None:
        earliest = began_at - self._forgiven_s
        break_s = (ended_at - began_at) * _BREAK_FACTOR
        self._break_until = max(self._break_until, earliest) + break_s

    def _schedule(self) -> None:
        break_s = max(self._break_until - time.monotonic(), 0.0)
        asyncio.get_running_loop().call_later(break_s, self._go_on)

    def _go_on(self) -> None:
        lines = self._waiting[0]
        try:
            with faults.contained("output"):
                lines.take_turn()
        finally:
            self._waiting.popleft()
            if lines.is_waiting:
                self._waiting.append(lines)
            if self._waiting:
                self._schedule()


class Lines(Generic[_Item]):
    """The lines of one who prints, or what else comes one by one, on their way to who takes them, in their order."""

    def __init__(
        self,
        turns: LineTurns,
        take: Callable[[_Item], None],
        on_passed: Callable[[], None],
        item_s: float = 0.0,
    ) -> None:
        """`on_passed`: called when lines that had to wait have been taken. Who gives none before holds little.

        `item_s`: what each of them has cost before it came here, of the loop's time in seconds.
        """
        self._item_s = item_s
        self._turns = turns
        self._take = take
        self._on_passed = on_passed
        self._left: deque[_Item] = deque()
        self.is_waiting = False

    def __repr__(self) -> str:
        return f"<Lines, {len(self._left)} left>"

    def pass_on(self, lines: Iterable[_Item]) -> bool:
        """Pass lines on. Return whether all have been taken; else `on_passed` will be called."""
        self._left.extend(lines)
        if self.is_waiting:
            return False
        if self._turns.may_begin():
            self._pass_for_a_turn()
        if self._left:
            self._wait()
        return not self._left

    def put_off(self, line: _Item) -> None:
        """Take one that is not passed on before its turn comes."""
        self._left.append(line)
        if not self.is_waiting:
            self._wait()

    def _wait(self) -> None:
        self.is_waiting = True
        self._turns.wait(self)

    def take_turn(self) -> None:
        """Pass on lines that waited."""
        self._pass_for_a_turn()
        if not self._left:
            self.is_waiting = False
            self._on_passed()

    def _pass_for_a_turn(self) -> None:
        began_at = now = time.monotonic()
        give_up_at = began_at + _TURN_S
        before = len(self._left)
        with faults.contained("output"):
            while self._left and now < give_up_at:
                self._take(self._left.popleft())
                now = time.monotonic()
        self._turns.spend(began_at - (before - len(self._left)) * self._item_s, now)
