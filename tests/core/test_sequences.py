"""Requests of sequences: their order, the worker that each sequence stays with, and what makes room for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mms.core import WorkerState
from mms.core.sequences.rules import SequenceHeaders
from mms.errors import BadRequest, ServiceUnavailable

if TYPE_CHECKING:
    from conftest import Bench, SequenceBench


def test_a_call_has_one_request_of_each_sequence_in_their_order(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences()
    a1, a2, b1, b2 = (bench.ask(id) for id in "aabb")
    assert bench.sent() == [(0, [a1, b1])]
    assert bench.sent() == []
    bench.answer(bench.workers[0])
    assert bench.sent() == [(0, [a2, b2])]


def test_a_sequence_stays_with_its_worker_and_new_ones_go_to_the_one_with_fewest(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(workers=2, batch_size=1, most=9)
    a1, b1 = bench.ask("a"), bench.ask("b")
    assert bench.sent() == [(0, [a1]), (1, [b1])]
    bench.answer(bench.workers[1])
    a2, b2 = bench.ask("a"), bench.ask("b")
    # The worker of the first is busy, and no other one may have it.
    assert bench.sent() == [(1, [b2])]
    bench.answer(bench.workers[0])
    assert bench.sent() == [(0, [a2])]


def test_a_worker_takes_its_sequences_along_and_their_requests_are_not_run_twice(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(workers=2, batch_size=1, most=9)
    a1, a2 = bench.ask("a"), bench.ask("a")
    assert bench.sent() == [(0, [a1])]
    bench.crash(bench.workers[0])
    assert a1.is_done
    assert bench.reply.messages() == ["Worker died."]
    assert bench.sent() == [(1, [a2])]


def test_a_process_that_is_new_in_its_place_has_no_sequences(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(workers=2, batch_size=1, most=9)
    for id in "ab":
        bench.ask(id)
    bench.sent()
    for worker in bench.workers:
        bench.answer(worker)
    bench.workers[0].ready_at = 2.0
    again = bench.ask("a")
    assert bench.sent() == [(0, [again])]
    assert bench.model.sequences.by_worker(2.0)[bench.workers[0]] == 1


def test_requests_join_the_running_batch_while_their_sequence_streams_and_other_sequences_wait(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(batch_size=2, most=9)
    [worker] = bench.workers
    worker.is_continuous = True
    a1, b1, c1 = (bench.ask(id) for id in "abc")
    assert bench.sent() == [(0, [a1, b1])]
    bench.stream(worker, a1, b1)
    a2, a3, b2 = (bench.ask(id) for id in "aab")
    # One of each: the next one of `a` goes once this one is answered, or streams, too.
    assert bench.sent() == [(0, [a2, b2])]
    bench.answer(worker)
    assert bench.sent() == [(0, [a3])]
    bench.stream(worker, a3)
    bench.end_streams(worker, a1, a3)
    assert bench.sent() == [(0, [c1])]


def test_a_sequence_that_goes_on_after_its_time_reaches_the_worker_that_has_waited_for_longest(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(workers=2, batch_size=1, max_idle_s=10.0)
    for id in "ab":
        bench.ask(id)
    assert [place for place, _ in bench.sent()] == [0, 1]
    for worker in bench.workers:
        bench.answer(worker)
    for now in (10.0, 20.0, 30.0):
        bench.ask("b", now=now)
        [(place, _)] = bench.sent(now)
        bench.answer(bench.workers[place], now=now)
        # What is over counts with no worker.
        assert place == (now // 10 - 1) % 2


def test_more_sequences_than_there_may_be_are_refused_until_one_is_over(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(most=2, max_idle_s=10.0)
    bench.ask("a"), bench.ask("b")
    with pytest.raises(ServiceUnavailable, match=r"2 sequences, which are the most \(max_seq"):
        bench.ask("c")
    bench.sent()
    bench.answer(bench.workers[0], now=5.0)
    with pytest.raises(ServiceUnavailable, match="max_sequences"):
        bench.ask("c", now=14.9)
    bench.ask("c", now=15.0)
    assert bench.model.sequences.count(15.0) == 1


def test_a_sequence_ends_by_its_last_request_by_an_answer_and_by_its_time(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(most=1, max_idle_s=0.0, timeout_s=10.0)
    bench.ask("a", headers=b"ts_request_sequence_end\ntrue")
    with pytest.raises(ServiceUnavailable, match="max_sequences"):
        bench.ask("b")
    bench.sent()
    bench.answer(bench.workers[0])
    bench.ask("b")
    bench.sent()
    bench.answer(bench.workers[0], headers=b"TS_request_sequence_end: x; b\r\n")
    bench.ask("c")
    bench.sent()
    bench.answer(bench.workers[0])
    with pytest.raises(ServiceUnavailable, match="max_sequences"):
        bench.ask("d", now=9.9)
    bench.ask("d", now=10.0)


def test_more_requests_of_a_sequence_than_may_wait_are_refused(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(most_waiting=1)
    bench.ask("a")
    bench.sent()
    bench.ask("a")
    with pytest.raises(ServiceUnavailable, match=r"1 requests that wait.*max_sequence_queue_size"):
        bench.ask("a")
    bench.ask("b")


def test_a_request_that_names_no_sequence_begins_one_that_its_handler_is_told(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(headers=SequenceHeaders("x-id", "x-start", "x-end"))
    first = bench.ask()
    start, true, name, id = first.headers.split(b"\n")
    assert (start, true, name) == (b"x-start", b"true", b"x-id")
    assert id.startswith(b"ts-seq-")
    assert bench.ask().headers != first.headers


def test_an_id_of_any_length_is_not_kept(sequences: type[SequenceBench]) -> None:
    bench = sequences()
    bench.ask("x" * 256)
    with pytest.raises(BadRequest, match="257 bytes; 256 are the most"):
        bench.ask("x" * 257)


def test_a_request_whose_client_is_gone_holds_up_none_behind_it(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences()
    a1, a2, a3 = (bench.ask("a") for _ in range(3))
    bench.sent()
    bench.model.cancel(a2)
    bench.model.cancel(a1)
    bench.model.finish_head(bench.workers[0], 0.01, True, 0.0)
    assert bench.sent() == [(0, [a3])]
    assert not bench.model.queue


def test_what_could_not_be_sent_comes_back_and_goes_alone(sequences: type[SequenceBench]) -> None:
    from mms.core import recovery

    bench = sequences()
    a1, b1 = bench.ask("a"), bench.ask("b")
    [(worker, batch)] = bench.model.dispatch(0.0)
    recovery.withdraw(bench.model, worker, [batch])
    assert bench.sent() == [(0, [a1])]
    bench.answer(worker)
    assert bench.sent() == [(0, [b1])]


def test_the_last_worker_on_its_way_out_has_what_was_accepted(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences()
    a1, a2 = bench.ask("a"), bench.ask("a")
    bench.sent()
    bench.pool.scale(0, 0)
    assert bench.workers[0].state is WorkerState.DRAINING
    bench.answer(bench.workers[0])
    assert a1.is_done
    assert bench.sent() == [(0, [a2])]


def test_each_worker_s_batch_fills_by_the_policy_that_was_named(
    sequences: type[SequenceBench],
) -> None:
    bench = sequences(policy="fixed")
    a1 = bench.ask("a", now=1.0)
    assert bench.sent(now=1.0) == []
    assert bench.model.wake_at == pytest.approx(1.1)
    b1 = bench.ask("b", now=1.05)
    assert bench.sent(now=1.11) == [(0, [a1, b1])]


def test_job_tickets_take_what_workers_can_have_at_once(bench: type[Bench]) -> None:
    model = bench(workers=2, has_tickets=True, queue_capacity=0)
    model.enqueue(2)
    with pytest.raises(ServiceUnavailable, match="job_tickets lets no request wait"):
        model.enqueue(1)
    assert model.dispatch() == [(0, 1), (1, 1)]
    with pytest.raises(ServiceUnavailable):
        model.enqueue(1)
    model.finish(model.workers[0])
    model.enqueue(1)
    assert model.dispatch() == [(0, 1)]
