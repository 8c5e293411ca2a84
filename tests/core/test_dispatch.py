"""Who gets which requests, and when."""

from __future__ import annotations

import pytest

from mms.core import WorkerState, deadlines, recovery
from mms.errors import ServiceUnavailable


def test_an_idle_worker_takes_what_is_queued_at_once(bench):
    b = bench(batch_size=8, max_batch_delay_s=5.0)
    b.enqueue(1)
    assert b.dispatch() == [(0, 1)]
    assert b.model.wake_at is None


def test_requests_of_one_turn_go_together(bench):
    b = bench(batch_size=8)
    b.enqueue(5)
    assert b.dispatch() == [(0, 5)]


def test_a_batch_is_never_larger_than_the_batch_size(bench):
    b = bench(batch_size=4)
    b.enqueue(5)
    assert b.dispatch()[0] == (0, 4)
    assert len(b.model.queue) == 1


def test_a_batch_keeps_the_order_of_the_queue(bench):
    b = bench(batch_size=4)
    requests = b.enqueue(3)
    [(_, batch)] = b.model.dispatch(0.0)
    assert batch.requests == requests


def test_work_goes_to_idle_workers_before_any_is_sent_ahead(bench):
    b = bench(workers=3)
    b.enqueue(3)
    assert sorted(b.dispatch()) == [(0, 1), (1, 1), (2, 1)]


def test_a_worker_of_unknown_speed_is_sent_one_batch(bench):
    b = bench()
    b.enqueue(3)
    assert b.dispatch() == [(0, 1)]


def test_a_worker_known_to_be_quick_is_sent_work_ahead(bench):
    b = bench()
    b.enqueue(1)
    b.dispatch()
    b.finish(b.workers[0], took_s=0.00001)
    b.enqueue(40)
    assert len(b.dispatch()) == 32


def test_a_worker_known_to_be_slow_is_not_sent_work_ahead(bench):
    b = bench()
    b.enqueue(1)
    b.dispatch()
    b.finish(b.workers[0], took_s=0.01)
    b.enqueue(3)
    assert len(b.dispatch()) == 1


def test_one_slow_batch_ends_sending_ahead_at_once(bench):
    b = bench()
    worker = b.workers[0]
    for took_s in (0.00001, 0.00001, 0.05):
        b.enqueue(1)
        b.dispatch()
        b.finish(worker, took_s=took_s)
    assert worker.credits == 1


def test_a_full_queue_refuses_with_the_time_to_come_back(bench):
    b = bench(queue_capacity=2)
    b.enqueue(1)
    b.dispatch()
    b.enqueue(2)
    with pytest.raises(ServiceUnavailable) as caught:
        b.enqueue(1)
    assert caught.value.message == (
        "No worker is available to serve request for model: m. Consider increasing job queue size."
    )
    assert caught.value.retry_after_s is not None and caught.value.retry_after_s >= 1


def test_work_sent_ahead_counts_as_queued(bench):
    b = bench(queue_capacity=4)
    b.enqueue(1)
    b.dispatch()
    b.finish(b.workers[0], took_s=0.00001)
    b.enqueue(4)
    b.dispatch()
    assert not b.model.queue
    b.enqueue(1)
    with pytest.raises(ServiceUnavailable):
        b.enqueue(1)


def test_a_model_without_workers_refuses(bench):
    b = bench(workers=0)
    with pytest.raises(ServiceUnavailable):
        b.enqueue(1)


def test_a_model_whose_worker_is_restarting_queues(bench):
    b = bench()
    b.workers[0].state = WorkerState.BACKOFF
    b.enqueue(1)
    assert b.dispatch() == []
    b.make_ready(b.workers[0])
    assert b.dispatch() == [(0, 1)]


def test_a_cancelled_request_never_reaches_a_worker(bench):
    b = bench()
    first, second = b.enqueue(2)
    b.model.cancel(first)
    [(_, batch)] = b.model.dispatch(0.0)
    assert batch.requests == [second]


def test_a_cancelled_request_that_is_running_names_its_worker(bench):
    b = bench()
    (request,) = b.enqueue(1)
    b.dispatch()
    assert b.model.cancel(request) is b.workers[0]


def test_a_request_whose_deadline_has_passed_never_reaches_a_worker(bench):
    b = bench()
    b.model.enqueue(b.request(now=0.0, deadline=1.0))
    assert b.dispatch(now=1.0) == []
    assert [error.http_status for _, error in b.reply.failures] == [408]


def test_a_queued_request_is_told_when_its_deadline_passes(bench):
    b = bench()
    b.enqueue(1)
    b.dispatch()
    b.model.enqueue(b.request(deadline=1.0))
    deadlines.expire(b.model, 0.9)
    assert b.reply.failures == []
    deadlines.expire(b.model, 1.0)
    assert [error.http_status for _, error in b.reply.failures] == [408]
    assert not b.model.queue


def test_a_result_that_leaves_items_out_fails_them(bench):
    b = bench(batch_size=2)
    first, second = b.enqueue(2)
    b.dispatch()
    first.answer(200, b"", b"", b"OK")
    b.model.finish_head(b.workers[0], 0.01, True, 0.0)
    assert [(r, e.http_status) for r, e in b.reply.failures] == [(second, 503)]


def test_a_batch_over_the_response_timeout_is_found(bench):
    b = bench(response_timeout_s=2.0)
    b.enqueue(1, now=10.0)
    b.dispatch(now=10.0)
    assert b.model.timed_out_workers(11.9) == []
    assert b.model.timed_out_workers(12.0) == [b.workers[0]]


def test_a_batch_sent_ahead_has_its_time_from_when_it_runs(bench):
    b = bench(response_timeout_s=2.0)
    b.enqueue(1)
    b.dispatch(now=0.0)
    b.finish(b.workers[0], took_s=0.00001, now=0.0)
    b.enqueue(2)
    b.dispatch(now=10.0)
    b.finish(b.workers[0], took_s=0.00001, now=11.5)
    assert b.model.timed_out_workers(13.0) == []
    assert b.model.timed_out_workers(13.5) == [b.workers[0]]


def test_a_batch_that_cannot_be_sent_goes_back_and_is_sent_singly(bench):
    b = bench(batch_size=3)
    requests = b.enqueue(3)
    ((worker, batch),) = b.model.dispatch(0.0)
    recovery.withdraw(b.model, worker, [batch])
    assert b.reply.failures == []
    assert b.model.waiting == 3
    assert [batch.requests for _, batch in b.model.dispatch(0.0)] == [requests[:1]]


def test_a_request_that_cannot_be_sent_alone_fails_with_its_id_and_the_next_one_is_sent(bench):
    b = bench()
    bad, good = b.enqueue(2)
    ((worker, batch),) = b.model.dispatch(0.0)
    recovery.withdraw(b.model, worker, [batch])
    assert [(request, bad.id.decode() in error.message) for request, error in b.reply.failures] == [
        (bad, True)
    ]
    assert [batch.requests for _, batch in b.model.dispatch(0.0)] == [[good]]


def test_an_answer_that_cannot_be_given_is_replaced_by_an_error_with_the_request_s_id(bench):
    b = bench()
    (request,) = b.enqueue(1)
    b.reply.answer = lambda *_: 1 / 0
    request.answer(200, b"", b"", b"OK")
    ((_, error),) = b.reply.failures
    assert (error.http_status, request.id.decode() in error.message) == (500, True)


def test_a_reply_that_raises_keeps_no_other_request_from_its_error(bench):
    b = bench(workers=0)
    b.pool.scale(1, 1)
    first, second = b.enqueue(2)
    told = []
    first.reply = type("Broken", (), {"fail": lambda *_: 1 / 0})()
    second.reply = type("Kept", (), {"fail": lambda *_: told.append(second)})()
    recovery.fail_queue(b.model)
    assert told == [second]


def _fail_load(worker, backoff_s):
    worker.state, worker.load_error, worker.backoff_s = WorkerState.BACKOFF, "no weights", backoff_s


def test_where_every_worker_has_failed_to_load_a_request_is_refused_with_the_reason(bench):
    b = bench(workers=2)
    for worker, backoff_s in zip(b.workers, (5, 3), strict=True):
        _fail_load(worker, backoff_s)
    with pytest.raises(ServiceUnavailable, match="m could not be loaded: no weights") as caught:
        b.enqueue(1)
    assert caught.value.retry_after_s == 3


@pytest.mark.parametrize("other", [WorkerState.LOADING, WorkerState.READY, WorkerState.STARTING])
def test_where_one_worker_may_still_come_up_requests_wait(bench, other):
    b = bench(workers=2)
    _fail_load(b.workers[0], 1)
    b.workers[1].state = other
    b.enqueue(1)
    assert b.reply.failures == []


def test_a_worker_that_ended_after_it_had_served_is_waited_for(bench):
    b = bench()
    b.workers[0].state = WorkerState.BACKOFF
    b.enqueue(1)
    assert b.reply.failures == []
