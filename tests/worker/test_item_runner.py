"""Batches of a model that answers items itself, in real workers, and the end of such a worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mms.wire import METRIC, RESULT, Metric

from .front import Front, Request, Worker

Start = Callable[..., Worker]

SOURCE = """
import sys
class Model:
    def predict(self, X, names):
        if X == "exit":
            sys.exit(3)
        if X == "memory":
            raise MemoryError
        if X == "interrupt":
            raise KeyboardInterrupt
        if X == "error":
            raise ValueError("mine")
        return X
"""


@pytest.fixture
def start(front: Front, tmp_path: Path) -> Start:
    def start(source: str = SOURCE, is_forked: bool = True, **members: Any) -> Worker:
        (tmp_path / "Model.py").write_text(source)
        worker = front.start_forked() if is_forked else front.start()
        defaults: dict[str, Any] = {"model_name": "m", "model_version": None, "handler": "Model"}
        loaded = worker.load(**{**defaults, "model_dir": str(tmp_path), **members})
        assert loaded.code == 200, loaded
        return worker

    return start


def asking(text: str) -> Request:
    return Request(json.dumps({"strData": text}).encode(), b"application/json")


def test_items_that_nobody_waits_for_any_more_are_not_run(start: Start) -> None:
    worker = start()
    worker.cancel(b"a" * 36)
    # Answered in order, so that the cancellation has come.
    worker.heartbeat(1, b"")
    given_up, other = asking("exit"), asking("b")
    given_up.id = b"a" * 36
    outcome = worker.run(given_up, other)
    assert [answer.is_failed for answer in outcome.answers] == [True, False]
    assert json.loads(outcome.answers[1].body)["strData"] == "b"
    assert worker.run(given_up).answers[0].is_failed


def test_every_item_of_a_batch_has_its_own_answer(start: Start) -> None:
    outcome = start().run(asking("a"), asking("error"), asking("b"))
    assert [answer.status for answer in outcome.answers] == [200, 500, 200]
    assert not any(answer.is_failed for answer in outcome.answers)
    assert json.loads(outcome.answers[2].body)["strData"] == "b"
    assert outcome.answers[0].headers == "Content-Type: application/json\r\n"
    assert outcome.is_succeeded
    assert outcome.entry_point_ns > 0


def test_a_batch_in_which_nothing_went_well_is_no_measure(start: Start) -> None:
    assert not start().run(asking("error")).is_succeeded


def test_batches_that_come_together_are_answered_in_their_order(start: Start) -> None:
    worker = start()
    sequences = worker.send_batches([asking("a")], [asking("b"), asking("c")], [asking("d")])
    texts = [
        [json.loads(answer.body)["strData"] for answer in worker.read_outcome(s, n).answers]
        for s, n in zip(sequences, (1, 2, 1), strict=True)
    ]
    assert texts == [["a"], ["b", "c"], ["d"]]


def test_a_large_body_goes_both_ways(start: Start) -> None:
    text = "x" * 3_000_000
    (answer,) = start().run(asking(text)).answers
    assert json.loads(answer.body)["strData"] == text


def test_an_answer_above_the_limit_fails_with_the_setting_s_name(start: Start) -> None:
    outcome = start(max_response_bytes=100).run(asking("x" * 100), asking("y"))
    large, small = outcome.answers
    assert (large.status, large.is_failed, small.status) == (500, True, 200)
    assert b"is larger than max_response_size (100 bytes)" in large.body


def test_memory_that_ran_out_fails_the_batch_with_507(start: Start) -> None:
    worker = start()
    outcome = worker.run(asking("a"), asking("memory"))
    assert [(a.status, a.is_failed, a.body) for a in outcome.answers] == [
        (507, True, b"Out of resources")
    ] * 2
    assert worker.run(asking("a")).is_succeeded


def test_an_interrupt_fails_the_batch_and_the_worker_goes_on(start: Start) -> None:
    worker = start()
    (answer,) = worker.run(asking("interrupt")).answers
    assert (answer.status, answer.is_failed, answer.body) == (503, True, b"Prediction failed")
    assert worker.run(asking("a")).is_succeeded


def test_a_model_that_exits_ends_its_worker_after_what_was_done(start: Start, front: Front) -> None:
    worker = start(is_forked=False)
    first, _ = worker.send_batches([asking("a")], [asking("exit")])
    assert worker.read_outcome(first, 1).is_succeeded
    assert worker.work.receive() is None
    assert front.wait_exit() == 3


def test_series_come_before_the_answers_that_they_belong_to(start: Start) -> None:
    source = SOURCE + (
        "    def metrics(self):\n"
        "        return [{'type': 'COUNTER', 'key': 'c', 'value': 2, 'tags': {'a': 'b'}}]\n"
    )
    worker = start(source)
    worker.send_batches([asking("a"), asking("b")])
    metric = Metric.from_payload(worker.work.expect(METRIC)[2])
    assert [(one["name"], one["value"]) for one in metric.series] == [("c", 2.0)] * 2
    assert metric.series[0]["labels"]["a"] == "b"
    worker.work.expect(RESULT)


def test_a_metric_with_a_name_that_json_cannot_hold_ends_no_worker(start: Start) -> None:
    source = SOURCE + (
        "    def metrics(self):\n        return [{'type': 'GAUGE', 'key': b'bytes', 'value': 2}]\n"
    )
    worker = start(source)
    worker.send_batches([asking("a")])
    worker.work.expect(METRIC)
    worker.work.expect(RESULT)
    worker.drain()


def test_rows_are_joined_only_in_batches(start: Start) -> None:
    source = """
class Model:
    def predict(self, X, names):
        return [[len(X)]] * len(X)
"""
    parts = {"seldon": {"joins_rows": True}}
    worker = start(source, batch_size=4, of_interfaces=parts)
    request = Request(b'{"data":{"ndarray":[[1]]}}', b"application/json")
    outcome = worker.run(request, Request(request.body, request.content_type))
    assert [json.loads(a.body)["data"]["ndarray"] for a in outcome.answers] == [[[2]], [[2]]]


def test_drain_lets_the_last_batch_be_answered(start: Start, front: Front) -> None:
    worker = start(is_forked=False)
    (sequence,) = worker.send_batches([asking("a")])
    assert worker.read_outcome(sequence, 1).is_succeeded
    worker.drain()
    assert front.wait_exit() == 0
