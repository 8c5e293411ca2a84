"""What connections may hold in memory, and at which rate their clients have to take it."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys

import pytest

from mms.limits.memory import (
    MIN_RATE,
    PRESSED_S,
    SMALL_BYTES,
    MemoryAccount,
    MemoryLimit,
    NoMemory,
    Pace,
    WaitingAccount,
)
from mms.processes import heap

MIB = 1 << 20


class Connection:
    """One that reads until it is told to wait."""

    def __init__(self, limit: MemoryLimit) -> None:
        self.told = 0
        self.account = MemoryAccount(limit, self.on_room)

    def on_room(self) -> None:
        self.told += 1


@pytest.fixture
def limit() -> MemoryLimit:
    return MemoryLimit(4 * MIB, 8 * MIB, 10)


def test_large_ones_leave_an_eighth_of_the_memory_to_small_ones(limit: MemoryLimit) -> None:
    first, second, third = (Connection(limit).account for _ in range(3))
    first.note(3 * MIB)
    second.note(3 * MIB)
    assert not first.must_wait(MIB)
    first.note(4 * MIB)
    assert not third.must_wait(SMALL_BYTES)
    third.note(SMALL_BYTES)
    assert limit.held_bytes < limit.all_bytes
    assert not second.must_wait(1), "one goes on"
    assert first.must_wait(1)
    assert third.must_wait(1), "it is large, with one byte more"


def test_nothing_goes_beyond_the_limit_but_what_one_connection_asks_for(limit: MemoryLimit) -> None:
    accounts = [Connection(limit).account for _ in range(500)]
    for more in [40_000] * 4 + [MIB] * 4:
        for account in accounts:
            if not account.must_wait(more):
                account.note(account.held_bytes + more)
    assert limit.first is not None
    assert limit.held_bytes - limit.first.held_bytes <= limit.all_bytes
    assert limit.held_bytes > limit.large_bytes


def test_a_small_one_waits_only_where_there_is_nothing_left(limit: MemoryLimit) -> None:
    large, first, small = (Connection(limit) for _ in range(3))
    large.account.note(8 * MIB)
    assert not first.account.must_wait(MIB)
    assert small.account.must_wait(1)
    large.account.note(7 * MIB)
    assert small.told == 1
    assert not small.account.must_wait(1)


def test_who_has_begun_nothing_waits_for_nothing(limit: MemoryLimit) -> None:
    Connection(limit).account.note(10 * MIB)
    quiet = Connection(limit)
    assert not quiet.account.must_wait()
    assert limit.first is None


def test_who_waits_is_told_once_as_soon_as_there_is_room(limit: MemoryLimit) -> None:
    first, second, third = (Connection(limit) for _ in range(3))
    for connection in (first, second, third):
        connection.account.note(2 * MIB)
    assert not first.account.must_wait(2 * MIB)
    first.account.note(4 * MIB)
    assert second.account.must_wait(MIB) and second.account.must_wait(MIB)
    assert limit.pauses_of_all == 1
    third.account.note(1)
    assert second.told == 0
    third.account.note(0)
    assert second.told == 1
    assert not second.account.must_wait(MIB)


def test_those_that_hold_all_there_is_go_on_one_after_the_other(limit: MemoryLimit) -> None:
    """Each of them has begun what it cannot end without more."""
    connections = [Connection(limit) for _ in range(4)]
    for connection in connections:
        connection.account.note(2 * MIB)
    assert [c.account.must_wait(2 * MIB) for c in connections] == [False, True, True, True]
    connections[0].account.note(3 * MIB)
    assert [c.told for c in connections] == [0, 0, 0, 0]
    connections[0].account.note(2 * MIB)
    assert [c.told for c in connections] == [0, 1, 0, 0], "in the order of their coming"
    assert limit.first is connections[1].account
    connections[1].account.close()
    assert [c.told for c in connections] == [0, 1, 1, 0]


@pytest.mark.parametrize("ends", ["close", "stop_waiting"])
def test_one_that_needs_no_more_leaves_its_turn_to_the_next(limit: MemoryLimit, ends: str) -> None:
    connections = [Connection(limit) for _ in range(3)]
    connections[2].account.note(8 * MIB)
    assert [c.account.must_wait(MIB) for c in connections] == [False, True, True]
    getattr(connections[0].account, ends)()
    assert [c.told for c in connections] == [0, 1, 0]
    getattr(connections[1].account, ends)()
    assert [c.told for c in connections] == [0, 1, 1]


def test_a_connection_that_ends_gives_back_what_it_held_and_is_told_nothing_more(
    limit: MemoryLimit,
) -> None:
    first, second = Connection(limit), Connection(limit)
    first.account.note(8 * MIB)
    second.account.note(2 * MIB)
    assert not first.account.must_wait(1)
    assert second.account.must_wait(1)
    second.account.close()
    first.account.close()
    assert (limit.held_bytes, limit.waiting, limit.first) == (0, 0, None)
    assert second.told == 0


def test_a_client_has_less_time_to_spare_while_others_wait_for_memory(limit: MemoryLimit) -> None:
    first, second = Connection(limit).account, Connection(limit).account
    first.note(8 * MIB)
    assert not first.must_wait(1)
    assert (first.spare_s(60.0), first.spare_s(1.0)) == (60.0, 1.0)
    assert second.must_wait(MIB)
    assert (first.spare_s(60.0), first.spare_s(1.0)) == (PRESSED_S, 1.0)


async def test_a_coroutine_waits_for_room_and_its_connection_is_not_read_meanwhile(
    limit: MemoryLimit,
) -> None:
    class Transport(asyncio.ReadTransport):
        calls: list[str] = []

        def pause_reading(self) -> None:
            self.calls.append("pause")

        def resume_reading(self) -> None:
            self.calls.append("resume")

    transport = Transport()
    other, account = Connection(limit).account, WaitingAccount(limit)
    assert not await account.take(MIB, 1.0, transport)
    other.note(7 * MIB)
    assert not other.must_wait(1)
    taking = asyncio.create_task(account.take(2 * MIB, 60.0, transport))
    await asyncio.sleep(0)
    assert account.is_waiting and transport.calls == ["pause"]
    other.note(0)
    assert await taking
    assert transport.calls == ["pause", "resume"] and account.held_bytes == 2 * MIB
    other.note(7 * MIB)
    assert not other.must_wait(1)
    with pytest.raises(NoMemory):
        await account.take(3 * MIB, 0.0, transport)
    assert not limit.waiting and transport.calls[-1] == "resume"


async def test_the_system_has_memory_back_once_connections_have_not_needed_it_for_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trimmed = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(heap, "trim", lambda: loop.call_soon_threadsafe(trimmed.set))
    limit = MemoryLimit(256 * MIB, 256 * MIB, 10)
    account = Connection(limit).account

    def look(most: int, times: int = 1) -> None:
        for _ in range(times):
            account.note(most)
            account.note(0)
            limit.give_back()

    look(100 * MIB, 10)
    look(MIB, 4)
    # What comes and goes is not given back in between.
    look(100 * MIB)
    look(90 * MIB, 10)
    look(MIB, 4)
    await asyncio.sleep(0.01)
    assert not trimmed.is_set()
    look(MIB, 2)
    await asyncio.wait_for(trimmed.wait(), 10)
    trimmed.clear()
    look(0, 20)
    await asyncio.sleep(0.01)
    assert not trimmed.is_set(), "once"


async def test_freed_memory_is_kept_from_the_first_large_body_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(heap, "keep_freed", lambda: loop.call_soon_threadsafe(kept.set))
    limit = MemoryLimit(256 * MIB, 256 * MIB, 10)
    account = Connection(limit).account
    account.note(SMALL_BYTES)
    limit.give_back()
    await asyncio.sleep(0.01)
    assert not kept.is_set()
    account.note(MIB)
    limit.give_back()
    await asyncio.wait_for(kept.wait(), 10)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_kept_memory_costs_no_new_pages_and_goes_back_when_it_is_trimmed() -> None:
    code = """
import resource
from mms.processes import heap

heap.keep_freed()

def pages_of_two_bodies():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    first, second = bytearray(b"x" * (8 << 20)), bytearray(b"x" * (8 << 20))
    del first, second
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

counts = [pages_of_two_bodies() for _ in range(3)]
heap.trim()
print(*counts, pages_of_two_bodies())
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    first, _, third, trimmed = map(int, output.stdout.split())
    assert third < first / 10 and trimmed > first / 10, (first, third, trimmed, output.stderr)


def test_room_for_large_bodies_is_bytes_of_that_size() -> None:
    code = """
from mms.processes import heap

for _ in range(2):
    for size in (0, 10, 300_000, 5 << 20):
        room = heap.make_room(size)
        assert type(room) is bytearray and len(room) == size
        room[:] = bytes(size)
        room += b"x"
        assert room == bytes(size) + b"x"
    heap.keep_freed()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


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
