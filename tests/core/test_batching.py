"""When a batch waits for more: the two policies."""

from __future__ import annotations

import pytest

from mms.core.batching import FixedPolicy
from mms.core.batching.cost import ArrivalGap, BatchCost, is_waiting_worthwhile
from mms.core.batching.size_classes import SizeClasses


def test_fixed_waits_out_the_delay_though_the_worker_is_idle(bench):
    b = bench(batch_size=4, max_batch_delay_s=5.0, batch_policy=FixedPolicy.name)
    b.enqueue(1, now=1.0)
    assert b.dispatch(now=1.0) == []
    assert b.model.wake_at == 6.0
    assert b.dispatch(now=5.99) == []
    assert b.dispatch(now=6.0) == [(0, 1)]


def test_fixed_sends_a_full_batch_at_once(bench):
    b = bench(batch_size=4, max_batch_delay_s=5.0, batch_policy=FixedPolicy.name)
    b.enqueue(3)
    assert b.dispatch() == []
    b.enqueue(1)
    assert b.dispatch(now=0.5) == [(0, 4)]


def test_fixed_counts_the_delay_from_the_first_request_that_a_worker_took(bench):
    b = bench(batch_size=4, max_batch_delay_s=1.0, batch_policy=FixedPolicy.name)
    b.enqueue(4)
    b.dispatch(now=0.0)
    b.enqueue(1)
    assert b.dispatch(now=0.5) == []
    assert b.model.wake_at is None, "no worker is there to take the request"
    b.finish(b.workers[0])
    assert b.dispatch(now=3.0) == []
    assert b.model.wake_at == 4.0


def test_fixed_without_delay_takes_the_first_and_one_more(bench):
    b = bench(workers=2, batch_size=4, max_batch_delay_s=0.0, batch_policy=FixedPolicy.name)
    b.enqueue(3)
    assert b.dispatch() == [(0, 2), (1, 1)]


def test_fixed_requests_in_assembly_do_not_count_as_queued(bench):
    b = bench(batch_size=4, max_batch_delay_s=5.0, batch_policy=FixedPolicy.name, queue_capacity=1)
    b.enqueue(1)
    b.dispatch()
    b.enqueue(1)
    b.dispatch()
    assert len(b.model.queue) == 2


def test_fixed_with_batches_of_one_never_waits(bench):
    b = bench(batch_size=1, max_batch_delay_s=5.0, batch_policy=FixedPolicy.name)
    b.enqueue(1)
    assert b.dispatch() == [(0, 1)]


def _cost(fixed_s: float, per_item_s: float) -> BatchCost:
    cost = BatchCost()
    for size in (1, 2, 4, 8, 4, 2, 1, 8) * 3:
        cost.observe(size, fixed_s + per_item_s * size)
    return cost


def test_the_fit_finds_fixed_and_per_item_cost():
    fixed_s, per_item_s = _cost(0.02, 0.001).fit()
    assert fixed_s == pytest.approx(0.02, rel=1e-6)
    assert per_item_s == pytest.approx(0.001, rel=1e-6)


def test_the_fit_takes_all_for_cost_per_item_until_sizes_differ():
    cost = BatchCost()
    for _ in range(10):
        cost.observe(1, 0.02)
    assert cost.fit() == (0.0, pytest.approx(0.02))


def test_the_fit_is_never_negative():
    cost = BatchCost()
    for size, duration_s in ((1, 0.05), (2, 0.03), (4, 0.01)) * 5:
        cost.observe(size, duration_s)
    assert min(cost.fit()) >= 0.0


def test_the_fit_follows_a_change():
    cost = _cost(0.02, 0.001)
    for size in (1, 2, 4, 8) * 40:
        cost.observe(size, 0.001 + 0.0001 * size)
    fixed_s, per_item_s = cost.fit()
    assert fixed_s == pytest.approx(0.001, rel=0.2)
    assert per_item_s == pytest.approx(0.0001, rel=0.2)


def test_waiting_pays_where_batches_are_dear_and_arrivals_close():
    assert is_waiting_worthwhile(1, _cost(0.02, 0.0001), gap_s=0.001)


def test_waiting_does_not_pay_where_arrivals_are_rare():
    assert not is_waiting_worthwhile(1, _cost(0.02, 0.0001), gap_s=0.05)


def test_waiting_does_not_pay_where_items_are_what_costs():
    assert not is_waiting_worthwhile(4, _cost(0.003, 0.01), gap_s=0.001)


def test_waiting_does_not_pay_for_batches_that_cost_less_than_a_timer():
    assert not is_waiting_worthwhile(1, _cost(0.001, 0.00001), gap_s=0.0001)


def _best(cost: BatchCost, waiting: int, gap_s: float = 1.0, most: int = 32) -> int:
    return cost.best_size(waiting, most, gap_s, workers=1)


def test_all_that_waits_goes_together_where_calls_are_what_costs():
    cost = _cost(0.02, 0.0001)
    assert _best(cost, 8) == 8
    assert _best(cost, 30) == 16, "beyond what has been tried in steps"
    for size in (16, 32):
        cost.observe(size, 0.02 + 0.0001 * size)
    assert _best(cost, 30) == 30
    assert _best(cost, 90) == 32


def test_batches_are_small_where_items_are_what_costs():
    assert _best(_cost(0.0, 0.02), 30) == 1


def test_batches_grow_with_the_queue_and_with_how_busy_the_server_is():
    cost = _cost(0.01, 0.01)
    sizes = [_best(cost, waiting) for waiting in (2, 8, 32)]
    assert sizes == sorted(sizes)
    assert 1 < sizes[1] < 8
    assert _best(cost, 8, gap_s=0.0) > sizes[1], "arrivals without a gap"


def test_a_queue_is_cut_into_batches_of_one_size():
    cost = _cost(0.01, 0.01)
    first = _best(cost, 5)
    assert first == 3, "and then 2, rather than 4 and 1"


def test_an_unknown_cost_of_items_is_found_out_by_the_next_larger_batches():
    cost = BatchCost()
    for _ in range(10):
        cost.observe(1, 0.02)
    assert _best(cost, 30) == 2
    assert _best(cost, 1) == 1


def test_items_that_cost_less_than_the_way_of_a_batch_all_go_together():
    cost = _cost(0.0, 0.00001)
    assert cost.is_quick


def test_a_size_whose_items_were_dearer_is_not_taken():
    classes = SizeClasses()
    for size, item_s in ((1, 0.003), (2, 0.002), (4, 0.004)) * 3:
        classes.observe(size, item_s)
    assert classes.no_dearer(1) == 1
    assert classes.no_dearer(2) == 2
    assert classes.no_dearer(4) == 2
    assert classes.no_dearer(32) == 2, "the way up leads over 4"


def test_a_size_that_was_dear_long_ago_is_tried_again():
    classes = SizeClasses()
    classes.observe(4, 0.004)
    for _ in range(1000):
        classes.observe(2, 0.002)
    assert classes.no_dearer(32) == 4


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 100, 10_000])
def test_a_size_of_which_nothing_is_known_is_taken(size):
    assert SizeClasses().no_dearer(size) == size


def _with_dear_batches_and_close_arrivals(bench, delay_s: float):
    b = bench(batch_size=8, max_batch_delay_s=delay_s)
    b.model.cost = _cost(0.02, 0.0001)
    b.model.arrivals = ArrivalGap()
    now = 0.0
    for _ in range(200):
        now += 0.001
        b.model.arrivals.observe(1, now)
    return b, now


def test_adaptive_waits_where_the_cost_says_that_it_pays(bench):
    b, now = _with_dear_batches_and_close_arrivals(bench, delay_s=0.1)
    b.enqueue(1, now=now)
    assert b.dispatch(now=now) == []
    assert b.model.wake_at is not None and now < b.model.wake_at <= now + 0.1


def test_adaptive_never_waits_past_the_delay(bench):
    b, now = _with_dear_batches_and_close_arrivals(bench, delay_s=0.0005)
    b.enqueue(1, now=now)
    assert b.dispatch(now=now) == []
    assert b.model.wake_at == pytest.approx(now + 0.0005)
    assert b.dispatch(now=now + 0.0005) == [(0, 1)]


def test_adaptive_stops_waiting_when_arrivals_stay_away(bench):
    b, now = _with_dear_batches_and_close_arrivals(bench, delay_s=10.0)
    b.enqueue(1, now=now)
    b.dispatch(now=now)
    assert b.dispatch(now=b.model.wake_at) == [(0, 1)]


def test_adaptive_does_not_wait_while_another_worker_is_idle(bench):
    b = bench(workers=2, batch_size=8, max_batch_delay_s=0.1)
    b.model.cost = _cost(0.02, 0.0001)
    for step in range(200):
        b.model.arrivals.observe(1, step * 0.001)
    b.enqueue(1, now=0.2)
    assert b.dispatch(now=0.2) == [(0, 1)]


def test_adaptive_batches_grow_while_the_worker_is_busy(bench):
    b = bench(batch_size=8)
    b.enqueue(1)
    assert b.dispatch() == [(0, 1)]
    b.enqueue(5)
    assert b.dispatch() == []
    b.finish(b.workers[0])
    assert b.dispatch() == [(0, 5)]


def _unfilled(b, now):
    """The worker's call failed, maybe for having few requests. Whether it is made again."""
    return b.model.repeat_unfilled(b.workers[0], 0.001, "Prediction failed", now)


def test_a_first_call_with_few_requests_that_fails_is_made_again_when_the_batch_is_full(bench):
    b = bench(batch_size=3, max_batch_delay_s=1.0)
    b.enqueue(1, now=1.0)
    assert b.dispatch(now=1.0) == [(0, 1)]
    assert _unfilled(b, now=1.1)
    assert b.dispatch(now=1.1) == []
    b.enqueue(2, now=1.5)
    assert b.dispatch(now=1.5) == [(0, 3)]
    assert b.reply.failures == []
    assert (b.model.policy.name, b.model.policy.cause) == ("fixed", "failed")
    assert "1 of 3 requests failed: 'Prediction failed'" in b.model.policy.reason


@pytest.mark.parametrize("took_s", [0.9, 30.0])
def test_it_is_made_with_what_there_is_when_the_delay_since_it_failed_is_over_and_then_counts(
    bench, took_s
):
    b = bench(batch_size=3, max_batch_delay_s=1.0)
    b.enqueue(1, now=1.0)
    b.dispatch(now=1.0)
    failed_at = 1.0 + took_s
    _unfilled(b, now=failed_at)
    assert b.dispatch(now=failed_at) == []
    assert b.model.wake_at == failed_at + 1.0
    assert b.dispatch(now=failed_at + 1.0) == [(0, 1)]
    assert not _unfilled(b, now=failed_at + 1.1)


def test_calls_that_were_made_before_it_was_known_are_made_again_too(bench):
    b = bench(workers=2, batch_size=3, max_batch_delay_s=1.0)
    b.enqueue(1, now=1.0)
    b.dispatch(now=1.0)
    b.enqueue(1, now=1.0)
    b.dispatch(now=1.0)
    for worker in b.workers:
        assert b.model.repeat_unfilled(worker, 0.001, "", 1.1)
    assert len(b.model.queue) == 2


def test_a_call_with_few_requests_that_is_answered_keeps_the_policy_adaptive_for_good(bench):
    b = bench(batch_size=3, max_batch_delay_s=1.0)
    b.enqueue(1)
    b.dispatch()
    b.finish(b.workers[0])
    b.enqueue(1)
    b.dispatch()
    assert not _unfilled(b, now=1.0)
    assert (b.model.policy.name, b.model.policy.cause) == ("adaptive", "answered")


def test_a_call_with_few_requests_that_is_answered_brings_the_adaptive_policy_back(bench):
    b = bench(batch_size=3, max_batch_delay_s=1.0)
    b.enqueue(1, now=1.0)
    b.dispatch(now=1.0)
    _unfilled(b, now=1.1)
    assert b.dispatch(now=1.1) == []
    assert b.dispatch(now=2.1) == [(0, 1)]
    b.finish(b.workers[0])
    assert b.model.policy.name == "adaptive"


@pytest.mark.parametrize("named", ["adaptive", "fixed"])
def test_a_named_policy_is_what_was_named_whatever_comes(bench, named):
    b = bench(batch_size=3, max_batch_delay_s=0.0, batch_policy=named)
    b.model.policy.require_full_batches("service.py, line 1", 0.0)
    b.enqueue(1)
    b.dispatch()
    assert not _unfilled(b, now=1.0)
    assert b.model.policy.name == named


def test_without_retry_the_policy_is_fixed_from_the_start(bench):
    b = bench(batch_size=3, has_retry=False)
    assert (b.model.policy.name, b.model.policy.cause) == ("fixed", "retry")


def test_code_that_relies_on_full_batches_is_fixed_from_its_load(bench):
    b = bench(batch_size=3)
    b.model.policy.require_full_batches("service.py, line 47", 0.0)
    assert (b.model.policy.name, b.model.policy.cause) == ("fixed", "source")
    assert "service.py, line 47" in b.model.policy.reason


def test_a_first_call_with_few_requests_that_ends_its_worker_is_made_again_when_the_batch_is_full(
    bench,
):
    b = bench(workers=2, batch_size=3, max_batch_delay_s=1.0)
    b.enqueue(1, now=1.0)
    b.dispatch(now=1.0)
    b.crash(b.workers[0], now=5.0)
    assert b.dispatch(now=5.0) == []
    assert b.model.wake_at == 6.0
    b.enqueue(2, now=5.5)
    assert b.dispatch(now=5.5) == [(1, 3)]
    b.finish(b.workers[1])
    assert (b.model.policy.name, b.model.policy.cause) == ("fixed", "died")
    assert b.model.policy.reason == "a call with 1 of 3 requests ended the worker"
    assert b.reply.failures == []


def test_a_full_call_that_ends_its_worker_too_clears_the_size_and_its_requests_run_singly(bench):
    b = bench(workers=4, batch_size=2, max_batch_delay_s=1.0)
    deadly, other = b.enqueue(1, now=1.0)[0], b.request()
    b.dispatch(now=1.0)
    b.crash(b.workers[0], now=1.1)
    b.model.enqueue(other)
    assert b.dispatch(now=1.2) == [(1, 2)]
    b.crash(b.workers[1], now=1.3)
    assert (b.model.policy.name, b.model.policy.is_open) == ("adaptive", False)
    assert b.dispatch(now=1.3) == [(2, 1), (3, 1)]
    b.crash(b.workers[2], now=1.4)
    b.finish(b.workers[3], now=1.4)
    assert [request for request, _ in b.reply.failures] == [deadly]
    assert [request for request, *_ in b.reply.answers] == [other]


@pytest.mark.parametrize("config", [{"batch_policy": "adaptive"}, {"has_retry": False}])
def test_the_end_of_a_worker_tells_nothing_where_the_policy_is_settled(bench, config):
    b = bench(workers=2, batch_size=3, max_batch_delay_s=0.0, **config)
    name, cause = b.model.policy.name, b.model.policy.cause
    b.enqueue(1)
    b.dispatch()
    b.crash(b.workers[0])
    assert (b.model.policy.name, b.model.policy.cause) == (name, cause)


def test_a_request_that_runs_alone_as_a_suspect_says_nothing_of_the_size_of_batches(bench):
    b = bench(workers=2, batch_size=2)
    b.enqueue(2)
    b.dispatch()
    b.crash(b.workers[0])
    assert b.dispatch() == [(1, 1)]
    b.crash(b.workers[1])
    assert b.model.policy.name == "adaptive"


def test_adaptive_sends_small_batches_to_each_idle_worker_where_items_are_what_costs(bench):
    b = bench(workers=3, batch_size=8)
    b.model.cost = _cost(0.0, 0.02)
    b.enqueue(8)
    assert b.dispatch() == [(0, 1), (1, 1), (2, 1)]


def test_the_expected_wait_counts_the_batches_that_the_policy_makes(bench):
    b = bench(workers=1, batch_size=8)
    b.model.cost = _cost(0.0, 0.02)
    b.enqueue(9)
    b.dispatch()
    assert b.model.expected_wait_s(b.workers) == pytest.approx(8 * 0.02, rel=0.01)
