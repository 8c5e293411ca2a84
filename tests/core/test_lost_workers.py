"""What a dead worker means for the requests that it had: exactly one answer each, and no third try."""

from __future__ import annotations

from mms.core import WorkerState, recovery


def _batches(b, now=0.0):
    return [batch.requests for _, batch in b.model.dispatch(now)]


def test_the_running_request_is_tried_once_more(bench):
    b = bench(workers=2)
    (request,) = b.enqueue(1)
    b.dispatch()
    b.crash(b.workers[0])
    assert _batches(b) == [[request]]
    assert b.reply.failures == []


def test_a_request_in_two_deaths_fails(bench):
    b = bench(workers=2)
    b.enqueue(1)
    for worker in b.workers:
        b.dispatch()
        b.crash(worker)
    assert b.reply.messages() == ["Worker died."]
    assert [error.http_status for _, error in b.reply.failures] == [500]
    assert _batches(b) == []


def test_the_end_of_a_node_counts_once_for_a_request_that_meets_its_workers_in_turn(bench):
    b = bench(workers=4)
    (request,) = b.enqueue(1)
    for worker in b.workers[:3]:
        worker.node = "10.0.0.1 (4f7b3282)"
        b.dispatch()
        b.crash(worker)
    assert b.reply.failures == []
    assert _batches(b) == [[request]]


def test_a_request_that_ends_every_worker_of_a_node_fails_all_the_same(bench):
    b = bench(workers=5)
    b.enqueue(1)
    for worker in b.workers[:4]:
        worker.node = "10.0.0.1 (4f7b3282)"
        b.dispatch()
        b.crash(worker)
    assert b.reply.messages() == ["Worker died."]


def test_a_request_in_deaths_on_two_nodes_fails(bench):
    b = bench(workers=3)
    b.enqueue(1)
    for worker, node in zip(b.workers, ("10.0.0.1", "10.0.0.2"), strict=False):
        worker.node = node
        b.dispatch()
        b.crash(worker)
    assert b.reply.messages() == ["Worker died."]


def test_the_items_of_a_lost_batch_run_singly(bench):
    b = bench(workers=2, batch_size=3)
    requests = b.enqueue(3)
    b.dispatch()
    b.crash(b.workers[0])
    assert _batches(b) == [[requests[0]]], "one alone, and nothing behind it"
    for left in (requests[1:2], requests[2:3]):
        b.finish(b.workers[1])
        assert _batches(b) == [left]


def test_items_that_have_an_answer_are_not_run_again(bench):
    b = bench(workers=2, batch_size=2)
    first, second = b.enqueue(2)
    b.dispatch()
    first.answer(200, b"", b"", b"OK")
    b.crash(b.workers[0])
    assert _batches(b) == [[second]]


def test_work_sent_ahead_goes_back_in_order(bench):
    b = bench(workers=1)
    b.enqueue(1)
    b.dispatch()
    b.finish(b.workers[0], took_s=0.00001)
    requests = b.enqueue(3)
    b.dispatch()
    late = b.request()
    b.model.enqueue(late)
    b.crash(b.workers[0])
    assert list(b.model.queue) == [*requests, late]
    assert [len(r.deaths) for r in b.model.queue] == [1, 0, 0, 0]


def test_only_the_poison_fails_and_its_neighbours_succeed(bench):
    b = bench(workers=1, batch_size=4)
    requests = b.enqueue(4)
    poison = requests[2]
    worker = b.workers[0]
    for _ in range(20):
        if not b.model.dispatch(0.0):
            break
        if poison in worker.in_flight[0].requests:
            b.crash(worker)
            b.make_ready(worker)
        else:
            b.finish(worker)
    assert [r for r, _, _ in b.reply.answers] == [requests[0], requests[1], requests[3]]
    assert [r for r, _ in b.reply.failures] == [poison]


def test_a_model_that_is_not_idempotent_gets_no_second_try(bench):
    b = bench(workers=2, has_retry=False)
    b.enqueue(1)
    b.dispatch()
    b.crash(b.workers[0])
    assert b.reply.messages() == ["Worker died."]


def test_a_batch_that_took_too_long_fails_and_is_not_tried_again(bench):
    b = bench(workers=2)
    b.enqueue(1)
    b.dispatch()
    b.workers[0].was_timed_out = True
    b.crash(b.workers[0])
    assert b.reply.messages() == ["Worker died."]
    assert _batches(b) == []


def test_what_was_sent_ahead_of_a_timed_out_worker_runs_elsewhere(bench):
    b = bench(workers=1)
    b.enqueue(1)
    b.dispatch()
    b.finish(b.workers[0], took_s=0.00001)
    first, second = b.enqueue(2)
    b.dispatch()
    b.workers[0].was_timed_out = True
    b.crash(b.workers[0])
    assert [r for r, _ in b.reply.failures] == [first]
    b.make_ready(b.workers[0])
    assert _batches(b) == [[second]]


def test_a_draining_worker_takes_nothing_while_another_is_active(bench):
    b = bench(workers=2)
    b.workers[0].state = WorkerState.DRAINING
    b.enqueue(1)
    assert b.dispatch() == [(1, 1)]


def test_a_worker_that_leaves_before_it_has_loaded_is_sent_nothing(bench):
    b = bench(workers=1)
    b.enqueue(1)
    b.workers[0].ready_at = 0.0
    b.workers[0].state = WorkerState.DRAINING
    assert b.dispatch() == []


def test_the_last_draining_worker_still_serves_what_was_accepted(bench):
    b = bench(workers=1)
    b.enqueue(1)
    b.workers[0].state = WorkerState.DRAINING
    assert not b.model.is_releasable(b.workers[0])
    assert b.dispatch() == [(0, 1)]
    b.finish(b.workers[0])
    assert b.model.is_releasable(b.workers[0])


def test_every_queued_request_is_answered_when_no_worker_will_come(bench):
    b = bench()
    b.enqueue(1)
    b.dispatch()
    b.enqueue(2)
    recovery.fail_queue(b.model)
    assert [error.http_status for _, error in b.reply.failures] == [503, 503]


def test_without_retry_nothing_is_sent_ahead_so_that_what_was_not_begun_is_known(bench):
    b = bench(has_retry=False)
    b.enqueue(1)
    b.dispatch()
    b.finish(b.workers[0], took_s=0.00001)
    first, second = b.enqueue(2)
    assert _batches(b) == [[first]]
    b.crash(b.workers[0])
    assert [request for request, _ in b.reply.failures] == [first]
    assert list(b.model.queue) == [second]
