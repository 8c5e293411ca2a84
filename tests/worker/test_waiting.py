"""How a worker waits for what the front sends."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from mms.wire import DRAIN, encode_frame
from mms.worker.outbox import Outbox
from mms.worker.streams import pump as module
from mms.worker.streams.pump import StreamPump


def test_a_worker_waits_in_poll_as_who_waits_in_recv_is_woken_by_reads_of_its_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    front, work = socket.socketpair()
    waits: list[int] = []

    def register(connection: socket.socket, events: int) -> None:
        assert (connection, events) == (work, module.select.POLLIN)

    def poll() -> None:
        """The front sends something once the worker waits."""
        waits.append(1)
        front.sendall(encode_frame(DRAIN, len(waits)))

    poller = SimpleNamespace(register=register, poll=poll)
    monkeypatch.setattr(module.select, "poll", lambda: poller)
    pump = StreamPump(work, Outbox(work))
    with front, work, pump._waker, pump._woken:
        # A read before there is anything fails.
        work.setblocking(False)
        frames = pump.frames()
        assert [next(frames)[0][:2] for _ in range(2)] == [(DRAIN, 1), (DRAIN, 2)]
    assert len(waits) == 2
