"""Streams as the front keeps them: credit, silence, and what becomes of them without their worker."""

from __future__ import annotations

from typing import Any

import pytest
from support.replies import make_request

from mms.core import ModelConfig, ModelVersion, Request, Worker, WorkerState, deadlines, recovery
from mms.core.streams.open_stream import OpenStream, cut_silent
from mms.core.streams.places import end_stream, open_stream
from mms.core.streams.replies import begin_stream
from mms.errors import ServerError
from mms.wire import ProtocolError
from mms.wire.streams import WINDOW_BYTES, cost_of


class _Reply:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def open_stream(self, request: Request, status: int, *more: Any) -> _Reply:
        self.said.append(status)
        return self

    def chunk(self, request: Request, body: bytes) -> None:
        self.said.append(body)

    def end(self, request: Request) -> None:
        self.said.append("end")

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Any
    ) -> None:
        self.said.append((status, bytes(body)))

    def fail(self, request: Request, error: ServerError) -> None:
        self.said.append(error.http_status)

    def give_up(self) -> None:
        self.said.append("given up")


class _Whole(_Reply):
    open_stream = None  # type: ignore[assignment]  # takes no parts


class Bench:
    """A model with one worker, and the credit that it was given."""

    def __init__(self, **config: Any) -> None:
        self.model = ModelVersion("m", None, ModelConfig(**config))
        self.worker = Worker(0, "W-m-0")
        self.worker.state = WorkerState.READY
        self.worker.ready_at = 1.0
        self.model.workers.append(self.worker)
        self.grants: list[tuple[int, int]] = []
        self.reply = _Reply()

    def open(self, number: int = 1, **members: Any) -> OpenStream:
        request = make_request("m", self.reply, b"body", **members)
        open_stream(
            self.model, self.worker, number, request, 10.0, lambda *grant: self.grants.append(grant)
        )
        return self.worker.streams.find(number)

    def begin(self, stream: OpenStream) -> OpenStream:
        stream.has_begun = begin_stream(stream.request, (200, b"", b""), stream, 100)
        return stream


def test_credit_is_given_back_once_half_a_window_is_taken() -> None:
    bench = Bench()
    stream = bench.open()
    body = bytes(WINDOW_BYTES // 4)
    for _ in range(3):
        stream.use(body, 11.0)
        stream.taken(cost_of(body))
    assert bench.grants == [(1, 2 * cost_of(body))]


def test_a_chunk_without_credit_is_refused() -> None:
    stream = Bench().open()
    stream.use(bytes(2 * WINDOW_BYTES), 11.0)
    with pytest.raises(ProtocolError, match="credit"):
        stream.use(b"more", 11.0)


def test_a_stream_of_a_request_that_is_done_is_to_end_at_once() -> None:
    bench = Bench()
    request = make_request("m", bench.reply)
    request.is_done = True
    open_stream(
        bench.model, bench.worker, 3, request, 10.0, lambda *grant: bench.grants.append(grant)
    )
    assert bench.grants == [(3, 0)]


def test_a_stream_that_is_silent_fails_alone_and_a_worker_that_does_not_end_it_is_stuck() -> None:
    bench = Bench()
    stream = bench.begin(bench.open())
    assert not cut_silent(bench.worker.streams, 5.0, 14.0)
    assert not cut_silent(bench.worker.streams, 5.0, 16.0)
    assert (bench.reply.said, bench.grants) == ([200, 500], [(1, 0)])
    assert stream.is_closed
    assert not cut_silent(bench.worker.streams, 5.0, 17.0)
    assert cut_silent(bench.worker.streams, 5.0, 22.0)


def test_a_stream_whose_client_takes_nothing_is_not_silent() -> None:
    bench = Bench()
    stream = bench.begin(bench.open())
    stream.use(bytes(2 * WINDOW_BYTES), 11.0)
    assert not cut_silent(bench.worker.streams, 5.0, 100.0)
    stream.taken(2 * WINDOW_BYTES)
    assert not cut_silent(bench.worker.streams, 5.0, 101.0)
    assert bench.reply.said == [200]


@pytest.mark.parametrize(("has_begun", "said"), [(True, [200, "end"]), (False, [408])])
def test_a_deadline_ends_what_has_begun_in_order(has_begun: bool, said: list[Any]) -> None:
    bench = Bench()
    stream = bench.open(deadline=12.0)
    bench.model.note_deadline(stream.request)
    if has_begun:
        bench.begin(stream)
    assert deadlines.expire(bench.model, 13.0) == [(bench.worker, stream.request)]
    assert (bench.reply.said, bench.grants) == (said, [(1, 0)])


def test_what_has_begun_is_never_tried_again_and_what_has_not_once() -> None:
    bench = Bench()
    bench.begin(bench.open(1))
    waiting = bench.open(2).request
    recovery.lose_worker(bench.model, bench.worker, 12.0)
    assert bench.reply.said == [200, 500]
    assert list(bench.model.queue) == [waiting] and waiting.is_solo
    assert not bench.worker.streams


def test_a_worker_with_as_many_streams_as_it_may_have_is_not_idle() -> None:
    bench = Bench(max_streams=1)
    stream = bench.open()
    assert not bench.model.has_idle_worker
    end_stream(bench.model, bench.worker, stream)
    assert bench.model.has_idle_worker


def test_requests_go_to_the_worker_that_has_the_fewest_streams() -> None:
    bench = Bench()
    other = Worker(1, "W-m-1")
    other.state, other.ready_at = WorkerState.READY, 1.0
    bench.model.workers.append(other)
    for number in (1, 2):
        bench.open(number)
    for number in (1, 2, 3):
        bench.model.enqueue(make_request("m", bench.reply, b"body"))
        [(worker, batch)] = bench.model.dispatch(10.0)
        assert worker is (other if number < 3 else bench.worker)
        [request] = batch.requests
        open_stream(bench.model, worker, number + 2, request, 10.0, lambda *grant: None)
        worker.in_flight.clear()


def test_a_reply_that_takes_no_parts_gets_them_together_or_an_error_where_they_are_too_many() -> (
    None
):
    bench = Bench()
    bench.reply = _Whole()
    stream = bench.begin(bench.open())
    assert stream.request.send_chunk(b"a") and stream.request.send_chunk(b"b")
    stream.request.end_stream()
    assert bench.reply.said == [(200, b"ab")]
    other = bench.begin(bench.open(2))
    assert not other.request.send_chunk(bytes(101))
    assert bench.reply.said[-1] == 500
    assert bench.grants[-1] == (2, 0)
