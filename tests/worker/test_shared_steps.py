"""One generator for all requests of a batch: what a client that takes nothing costs the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mms.worker.streams.shared_steps import MOST_BEHIND, SharedSteps
from mms.worker.streams.stream import MOST_WAIT_S, NOT_NOW


class _Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _count(made: list[int], size: int) -> Iterator[list[str]]:
    for number in range(10_000):
        made.append(number)
        yield [f"{number}".rjust(size), f"{number}".rjust(size)]


@pytest.mark.parametrize(("size", "most"), [(1, MOST_BEHIND), (100_000, 11)])
def test_a_client_that_takes_nothing_loses_its_stream_after_a_while(size: int, most: int) -> None:
    clock, cut = _Clock(), list[Any]()

    def cut_column(column: Any) -> None:
        cut.append(column)
        column.close()

    made: list[int] = []
    quick, slow = SharedSteps(_count(made, size), 2, cut_column, clock).columns()
    took = 0
    while next(quick) is not NOT_NOW:
        took += 1
    assert took == len(made) == most
    clock.now_s += MOST_WAIT_S - 0.1
    assert next(quick) is NOT_NOW
    assert not cut
    clock.now_s += 0.2
    assert int(next(quick)) == most
    assert cut == [slow]


def test_a_client_that_takes_its_chunks_late_gets_all_of_them() -> None:
    clock = _Clock()
    quick, slow = SharedSteps(_count([], 1), 2, lambda _: None, clock).columns()
    while next(quick) is not NOT_NOW:
        pass
    clock.now_s += MOST_WAIT_S - 0.1
    assert [int(next(slow)) for _ in range(MOST_BEHIND)] == list(range(MOST_BEHIND))
    assert int(next(quick)) == MOST_BEHIND
    # Its time begins anew.
    while next(quick) is not NOT_NOW:
        pass
    clock.now_s += MOST_WAIT_S - 0.1
    assert next(quick) is NOT_NOW
