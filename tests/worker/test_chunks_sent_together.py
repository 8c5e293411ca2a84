"""Chunks of several streams that a handler sends at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from mms.wire import CHUNK, RESULT, STREAM, FrameDecoder
from mms.wire.streams import decode_chunks, encode_credit, encode_number
from mms.worker.outbox import Outbox
from mms.worker.streams.pump import StreamPump
from mms.worker.streams.stream import PushedStream


class Front:
    """What the front reads of a pump's connection."""

    def __init__(self) -> None:
        self.end, self.work = socket.socketpair()
        self.end.setblocking(False)
        self.pump = StreamPump(self.work, Outbox(self.work))
        self._decoder = FrameDecoder(1 << 20)

    def frames(self) -> list[Any]:
        """Return what one read brings; nothing where there is nothing."""
        try:
            size = self.end.recv_into(self._decoder.get_buffer())
        except BlockingIOError:
            return []
        return list(self._decoder.received(size))

    def begin(self, place: int) -> PushedStream:
        form: Any = type("Form", (), {"head": lambda _: (200, b"", b"")})()
        stream = self.pump.open_pushed(form)
        self.pump.announce(7, (place, STREAM, 200, b"", b"", encode_number(stream.number)))
        return stream


@pytest.fixture
def front() -> Iterator[Front]:
    front = Front()
    with front.end, front.work, front.pump._waker, front.pump._woken:
        yield front


def test_what_is_sent_together_goes_out_by_one_write_behind_the_begins_of_its_streams(
    front: Front,
) -> None:
    with front.pump.together():
        for place, body in enumerate((b"a", b"b")):
            stream = front.begin(place)
            front.pump.push(stream, stream.item(0, body))
        assert front.frames() == []
    begun, chunks = front.frames()
    assert (begun[0], begun[1]) == (RESULT, 7)
    assert chunks[0] == CHUNK
    assert [bytes(item[5]) for item in decode_chunks(chunks[2], chunks[3])] == [b"a", b"b"]


def test_a_chunk_that_is_sent_alone_goes_out_at_once(front: Front) -> None:
    stream = front.begin(0)
    assert [frame[0] for frame in front.frames()] == [RESULT]
    front.pump.push(stream, stream.item(0, b"a"))
    assert [frame[0] for frame in front.frames()] == [CHUNK]


def test_a_stream_without_credit_waits_for_it_when_what_was_held_has_been_sent(
    front: Front,
) -> None:
    with front.pump.together():
        stream = front.begin(0)
        front.pump.push(stream, stream.item(0, b"a"))
        stream.credit = 0
        front.end.sendall(encode_credit([(stream.number, 100)]))
        assert front.pump.wait_for_credit(stream)
        assert [frame[0] for frame in front.frames()] == [RESULT, CHUNK]


def test_what_was_sent_before_the_handler_failed_goes_out(front: Front) -> None:
    with pytest.raises(KeyError), front.pump.together():
        front.begin(0)
        raise KeyError
    assert [frame[0] for frame in front.frames()] == [RESULT]
