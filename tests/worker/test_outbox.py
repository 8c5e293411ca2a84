"""Answers held back, and let go in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from mms.worker.outbox import Outbox

MILLISECOND_NS = 1_000_000


@pytest.fixture
def pair() -> Iterator[tuple[Outbox, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Outbox(ours), theirs


def waiting(connection: socket.socket) -> bytes:
    """What can be read at once."""
    connection.setblocking(False)
    try:
        return connection.recv(1 << 20)
    except BlockingIOError:
        return b""


def test_frames_wait_for_each_other_and_go_together(pair: tuple[Outbox, socket.socket]) -> None:
    outbox, front = pair
    outbox.add([b"one "], 0)
    outbox.add([b"two"], 0)
    assert waiting(front) == b""
    outbox.flush()
    assert waiting(front) == b"one two"
    outbox.flush()
    assert waiting(front) == b""


@pytest.mark.parametrize(
    ("now_ms", "expected_ms", "is_due"),
    [(0.4, 0.05, False), (0.6, 0, True), (0.1, 0.3, False), (0.1, 0.5, True)],
)
def test_a_frame_is_due_when_it_would_wait_over_half_a_millisecond(
    pair: tuple[Outbox, socket.socket], now_ms: float, expected_ms: float, is_due: bool
) -> None:
    outbox, front = pair
    outbox.add([b"old"], 0)
    outbox.add([b"new"], int(now_ms * MILLISECOND_NS))
    outbox.flush_due(int(now_ms * MILLISECOND_NS), int(expected_ms * MILLISECOND_NS))
    assert waiting(front) == (b"oldnew" if is_due else b"")


def test_bodies_of_their_own_go_at_once_in_order(pair: tuple[Outbox, socket.socket]) -> None:
    outbox, front = pair
    outbox.add([b"before "], 0)
    body = bytearray(b"body")
    outbox.add([b"head ", body], 0)
    body[:] = b"used again"
    assert waiting(front) == b"before head body"


def test_more_than_the_kernel_takes_at_once_goes_whole(
    pair: tuple[Outbox, socket.socket],
) -> None:
    outbox, front = pair
    buffers = [b"%07d" % number for number in range(3000)] + [b"x" * 3_000_000]
    received = bytearray()

    def read() -> None:
        while len(received) < 3000 * 7 + 3_000_000:
            received.extend(front.recv(1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    outbox.add(buffers, 0)
    reader.join(20)
    assert bytes(received) == b"".join(buffers)


def test_what_is_lent_another_thread_may_send(pair: tuple[Outbox, socket.socket]) -> None:
    outbox, front = pair
    outbox.add([b"held"], 0)
    outbox.flush_lent()
    assert waiting(front) == b"", "not yet lent"
    outbox.lend()
    sending = threading.Thread(target=outbox.flush_lent)
    sending.start()
    sending.join()
    assert waiting(front) == b"held"
    outbox.take_back()
    outbox.add([b"next"], 0)
    outbox.flush_lent()
    assert waiting(front) == b"", "taken back"
    outbox.flush()
    assert waiting(front) == b"next"


def test_nothing_is_lent_where_nothing_is_held(pair: tuple[Outbox, socket.socket]) -> None:
    outbox, front = pair
    outbox.lend()
    outbox.take_back()
    outbox.add([b"one"], 0)
    outbox.flush_lent()
    assert waiting(front) == b""
