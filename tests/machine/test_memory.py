"""What connections may hold in memory, and at which rate their clients have to take it."""

from __future__ import annotations

import pytest

from mms.memory import MIN_RATE, MemoryAccount, MemoryLimit, Pace


class Connection:
    """One that reads until it is told to wait."""

    def __init__(self, limit: MemoryLimit) -> None:
        self.told = 0
        self.account = MemoryAccount(limit, self.on_room)

    def on_room(self) -> None:
        self.told += 1


@pytest.fixture
def limit() -> MemoryLimit:
    return MemoryLimit(100, 300, 10)


def test_a_connection_may_hold_so_much_and_no_more(limit: MemoryLimit) -> None:
    account = Connection(limit).account
    assert account.has_room_for(100)
    account.note(60)
    assert account.has_room_for(40)
    assert not account.has_room_for(41)
    account.note(10)
    assert account.has_room_for(90)


def test_when_all_hold_too_much_those_wait_that_hold_more_than_their_share(
    limit: MemoryLimit,
) -> None:
    large, small = ([Connection(limit) for _ in range(3)] for _ in range(2))
    for connection in large:
        connection.account.note(95)
    for connection in small:
        connection.account.note(10)
    assert limit.held_bytes == 315
    assert not large[0].account.has_room_for(1)
    assert small[0].account.has_room_for(1)
    assert [c.account.must_wait() for c in large] == [False, True, True], "the first goes on"
    assert [c.account.must_wait() for c in small] == [False] * 3


def test_who_waits_is_told_once_as_soon_as_there_is_room(limit: MemoryLimit) -> None:
    first, second, third = (Connection(limit) for _ in range(3))
    for connection, size in ((first, 150), (second, 120), (third, 60)):
        connection.account.note(size)
    assert not first.account.must_wait()
    assert second.account.must_wait() and second.account.must_wait()
    assert limit.pauses_of_all == 1
    third.account.note(55)
    assert second.told == 0
    third.account.note(10)
    assert second.told == 1
    assert not second.account.must_wait()


def test_those_that_hold_all_there_is_go_on_one_after_the_other(limit: MemoryLimit) -> None:
    """Each of them has begun what it cannot end without more."""
    connections = [Connection(limit) for _ in range(4)]
    for connection in connections:
        connection.account.note(100)
    assert [c.account.must_wait() for c in connections] == [False, True, True, True]
    connections[0].account.note(150)
    assert [c.told for c in connections] == [0, 0, 0, 0]
    connections[0].account.note(90)
    assert [c.told for c in connections] == [0, 1, 1, 1]
    assert [c.account.must_wait() for c in connections[1:]] == [False, True, True]
    connections[1].account.close()
    assert connections[2].told == 2


def test_a_connection_that_ends_gives_back_what_it_held_and_is_told_nothing_more(
    limit: MemoryLimit,
) -> None:
    first, second = Connection(limit), Connection(limit)
    first.account.note(400)
    second.account.note(200)
    assert not first.account.must_wait()
    assert second.account.must_wait()
    second.account.close()
    first.account.close()
    assert (limit.held_bytes, limit.holders, limit.waiting, limit.first) == (0, set(), {}, None)
    assert second.told == 0


def test_a_model_without_an_answer_is_expected_to_give_the_largest(limit: MemoryLimit) -> None:
    assert limit.expected_answer("m") == 10
    limit.note_answer("m", 3)
    limit.note_answer("m", 1)
    assert limit.expected_answer("m") == 3


@pytest.mark.parametrize(
    ("bytes_a_second", "lasts"),
    [(0, False), (1, False), (MIN_RATE - 1000, False), (MIN_RATE, True), (10**9, True)],
)
def test_a_client_has_to_take_its_answers_at_a_rate(bytes_a_second: int, lasts: bool) -> None:
    pace = Pace()
    slow_at = next(
        (s for s in range(3000) if pace.is_too_slow(1.0 + s, s * bytes_a_second, 75.0)), None
    )
    assert (slow_at is None) == lasts
    assert slow_at is None or slow_at > 75


def test_what_was_taken_quickly_buys_no_time_for_later() -> None:
    pace = Pace()
    assert not pace.is_too_slow(1.0, 0, 75.0)
    assert not pace.is_too_slow(2.0, 10**9, 75.0)
    assert not pace.is_too_slow(77.0, 10**9, 75.0)
    assert pace.is_too_slow(78.0, 10**9, 75.0)


def test_a_client_that_has_taken_all_begins_anew() -> None:
    pace = Pace()
    assert not pace.is_too_slow(1.0, 0, 75.0)
    pace.rest()
    assert not pace.is_too_slow(200.0, 0, 75.0)
    assert not pace.is_too_slow(275.0, 0, 75.0)
    assert pace.is_too_slow(276.0, 0, 75.0)
