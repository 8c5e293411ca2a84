"""When a request may have a model loaded whose loads have failed, and what its client is told."""

from __future__ import annotations

import pytest

from mms.core import ModelConfig, ModelVersion, Pool
from mms.core.scaling.load_backoff import LoadBackoff
from mms.errors import ServiceUnavailable


def test_waits_after_failed_loads_in_a_row_grow_as_those_of_a_workers_restarts():
    backoff = LoadBackoff()
    waits = []
    for _ in range(6):
        backoff.note_failure("no such weights", 0.0)
        waits.append(backoff.wait_s)
    assert waits == [1, 1, 2, 3, 5, 8]


def test_a_load_is_tried_again_when_the_wait_is_over_and_not_before():
    backoff = LoadBackoff()
    backoff.note_failure("no such weights", 10.0)
    assert not backoff.may_load(10.9)
    assert backoff.wait_s == 1
    assert backoff.may_load(11.0)


def test_a_load_that_succeeds_ends_the_row_of_failures():
    backoff = LoadBackoff()
    for _ in range(5):
        backoff.note_failure("no such weights", 0.0)
    backoff.clear()
    assert backoff.may_load(0.0)
    backoff.note_failure("again", 0.0)
    assert backoff.wait_s == 1


def test_a_model_that_could_not_be_loaded_says_why_and_when_to_come_back(bench):
    bench = bench(workers=0)
    bench.model.load_backoff.note_failure("no such weights", 0.0)
    with pytest.raises(ServiceUnavailable, match=r"could not be loaded: no such weights") as failed:
        bench.model.enqueue(bench.request())
    assert failed.value.retry_after_s == 1


def test_a_request_that_finds_no_worker_has_some_started_once(bench):
    bench = bench(workers=0)
    bench.pool.scale(0, 2)
    calls = []

    def start() -> None:
        calls.append(bench.pool.grow(1))

    bench.model.on_demand = start
    bench.enqueue(50)
    assert [len(started) for started in calls] == [1]
    assert len(bench.model.queue) == 50


def test_a_closed_model_starts_nothing(bench):
    bench = bench(workers=0)
    bench.pool.scale(0, 2)
    bench.model.on_demand = lambda: pytest.fail("a model on its way out was started")
    bench.model.is_closed = True
    with pytest.raises(ServiceUnavailable):
        bench.model.enqueue(bench.request())


def test_no_more_workers_are_added_than_the_maximum_lets_a_model_have():
    pool = Pool(ModelVersion("m", None, ModelConfig()))
    pool.scale(1, 3)
    assert len(pool.grow(5)) == 2
    assert pool.grow(1) == []
