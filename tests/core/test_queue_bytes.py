"""The bodies of queued requests hold a limited number of bytes together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from mms.core import Request
from mms.errors import ServiceUnavailable

if TYPE_CHECKING:
    from conftest import Bench


def _sized(bench: Bench, size: int, now: float = 0.0) -> Request:
    request = bench.request(now)
    request.body = bytes(size)
    return request


def _enqueue(bench: Bench, *sizes: int) -> None:
    for size in sizes:
        bench.model.enqueue(_sized(bench, size))


def test_a_body_that_does_not_fit_beside_those_that_wait_is_refused_and_smaller_ones_are_not(
    bench: Callable[..., Bench],
) -> None:
    b = bench(queue_bytes=100)
    _enqueue(b, 60, 30)
    with pytest.raises(ServiceUnavailable, match="Consider increasing job queue size"):
        _enqueue(b, 20)
    _enqueue(b, 10)
    assert len(b.model.queue) == 3
    assert b.model.unanswered.refused == 1


def test_what_has_left_the_queue_makes_room_however_it_left(bench: Callable[..., Bench]) -> None:
    b = bench(queue_bytes=100)
    sent, cancelled = _sized(b, 50), _sized(b, 50)
    for request in (sent, cancelled):
        b.model.enqueue(request)
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 50)
    b.dispatch()
    _enqueue(b, 50)
    b.model.cancel(cancelled)
    _enqueue(b, 50)
    assert [len(request.body) for request in b.model.queue] == [50, 50]


def test_one_body_that_is_larger_than_the_limit_is_taken_where_nothing_waits(
    bench: Callable[..., Bench],
) -> None:
    b = bench(queue_bytes=100)
    _enqueue(b, 5000)
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 1)


def test_a_refused_body_leaves_nothing_behind_once_the_queue_was_shorter(
    bench: Callable[..., Bench],
) -> None:
    b = bench(queue_bytes=100)
    _enqueue(b, 60)
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 50)
    b.model.queue.clear()
    _enqueue(b, 1, 1, 1, 1, 1)
    b.model.check_room()
    _enqueue(b, 95)
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 1)


def test_what_was_left_at_a_refusal_is_given_once(bench: Callable[..., Bench]) -> None:
    b = bench(queue_bytes=100)
    _enqueue(b, *[1] * 60)
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 50)
    assert not b.model.is_full
    _enqueue(b, *[1] * 30, 10)
    assert b.model.is_full
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 1)
    _enqueue(b, 0)


def test_a_queue_that_never_runs_empty_after_a_refusal_takes_what_fits(
    bench: Callable[..., Bench],
) -> None:
    b = bench(queue_bytes=100)
    _enqueue(b, 60)
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 50)
    _enqueue(b, 20)
    for _ in range(10):
        _enqueue(b, 20)
        b.model.queue.popleft()
    _enqueue(b, 60)


def test_a_long_queue_is_not_counted_anew_for_each_refusal(bench: Callable[..., Bench]) -> None:
    b = bench(queue_bytes=1000, queue_capacity=10_000)
    _enqueue(b, *[1] * 1000)
    counts = []

    class Counted(type(b.model.queue)):  # type: ignore[misc]
        def __iter__(self):  # type: ignore[no-untyped-def]
            counts.append(len(self))
            return super().__iter__()

    b.model.queue = Counted(b.model.queue)
    for _ in range(100):
        with pytest.raises(ServiceUnavailable):
            _enqueue(b, 1)
    assert b.model.is_full
    assert len(counts) <= 1
    for _ in range(63):
        b.model.queue.popleft()
    _enqueue(b, 1)
    assert not b.model.is_full


def test_a_limit_that_is_set_anew_holds_for_what_waits(bench: Callable[..., Bench]) -> None:
    b = bench()
    _enqueue(b, 60, 60)
    b.model.config.queue_bytes = 100
    b.model.reconfigure(b.model.config)
    with pytest.raises(ServiceUnavailable):
        _enqueue(b, 1)


def test_the_longest_wait_is_that_of_the_oldest_request(bench: Callable[..., Bench]) -> None:
    b = bench()
    assert b.model.oldest_wait_s(9.0) == 0.0
    for now in (5.0, 3.0, 8.0):
        b.model.enqueue(_sized(b, 1, now))
    assert b.model.oldest_wait_s(9.0) == 6.0
