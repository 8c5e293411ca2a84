"""Records of what models are asked and answer."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent
from mms.interfaces.mlrun.model.model_server import V2ModelServer
from mms.interfaces.mlrun.records.model_log import ModelLog, StreamContext

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")


class Sink:
    def __init__(self) -> None:
        self.records: list[Any] = []

    def push(self, records: list[Any]) -> None:
        self.records.extend(records)


class Model(V2ModelServer):
    def load(self) -> None:
        self.model = 2

    def predict(self, request: Any) -> Any:
        if request["inputs"] == ["bad"]:
            raise ValueError("bad row")
        return [value * 2 for value in request["inputs"]]


def tracked(cls: type[Model] = Model, **parameters: Any) -> tuple[Any, Sink]:
    sink = Sink()
    context = GraphContext(level="error", parameters=parameters, worker_id=2)
    context.stream = StreamContext(sink, function_uri="p/f", logger=context.logger)
    model = cls(context, "m3:v1")
    model.post_init()
    return model, sink


def ask(model: V2ModelServer, *inputs: Any, path: str = "infer") -> Any:
    event = MockEvent({"inputs": list(inputs)}, path=path, method="POST", event_id="e1")
    return model.do_event(event).body


def test_a_record_tells_request_answer_and_time() -> None:
    model, sink = tracked()
    model.labels["team"] = "a"
    model.set_metric("score", 0.5)
    answer = ask(model, 5)
    (record,) = sink.records
    assert record.pop("host")
    assert TIME.fullmatch(record.pop("when"))
    # From the request's start on, not since some other time.
    assert 0 <= record.pop("microsec") < 60_000_000
    assert record == {
        "class": "Model",
        "worker": 2,
        "model": "m3",
        "version": "v1",
        "function_uri": "p/f",
        "labels": {"team": "a"},
        "request": {"inputs": [5]},
        "op": "infer",
        "resp": answer,
        "metrics": {"score": 0.5},
    }


def test_explanations_are_told_of_and_metadata_is_not() -> None:
    class Explaining(Model):
        def explain(self, request: Any) -> Any:
            return "because"

    model, sink = tracked(Explaining)
    ask(model, 5, path="explain")
    model.do_event(MockEvent(path="", method="GET"))
    assert [record["op"] for record in sink.records] == ["explain"]


def test_a_time_of_seconds_is_told_in_microseconds() -> None:
    model, sink = tracked()
    model._model_logger.push_success(0, 2_500_000_000, {}, {}, "infer")
    assert sink.records[0]["microsec"] == 2_500_000


def test_a_failure_is_told_of_at_once_with_its_request_and_id() -> None:
    model, sink = tracked(log_stream_sample=100, log_stream_batch=100)
    with pytest.raises(ValueError, match="bad row"):
        ask(model, "bad")
    (record,) = sink.records
    assert (record["error"], record["op"]) == ("bad row", "infer")
    assert record["request"] == {"inputs": ["bad"], "id": "e1"}
    assert "resp" not in record


def test_of_a_sample_every_nth_request_is_told_of_and_answers_stay_whole() -> None:
    model, sink = tracked(log_stream_sample=3)
    answers = [ask(model, number, number)["outputs"] for number in range(7)]
    assert answers == [[number * 2] * 2 for number in range(7)]
    assert [record["request"]["inputs"] for record in sink.records] == [[2, 2], [5, 5]]


def test_a_batch_is_one_record_with_rows() -> None:
    model, sink = tracked(log_stream_batch=2)
    for number in range(5):
        model.set_metric("n", number)
        ask(model, number)
    assert len(sink.records) == 2
    assert sink.records[0]["headers"] == ["request", "op", "resp", "when", "microsec", "metrics"]
    rows = sink.records[1]["values"]
    assert [row[0]["inputs"] for row in rows] == [[2], [3]]
    # Each row has the metrics of its own time.
    assert [row[5] for row in rows] == [{"n": 2}, {"n": 3}]


def test_what_waits_for_a_batch_is_sent_when_it_is_asked_for() -> None:
    model, sink = tracked(log_stream_batch=3)
    ask(model, 1)
    assert sink.records == []
    model.context.flush_model_logs()
    assert len(sink.records[0]["values"]) == 1
    model.context.flush_model_logs()
    assert len(sink.records) == 1


@pytest.mark.parametrize("value", [0, -1, "x", 0.2])
def test_a_sample_or_batch_that_is_no_count_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=f"log_stream_sample is {value!r}, but must be a number"):
        tracked(log_stream_sample=value)


class Telling(Model):
    def logged_results(self, request: Any, response: Any, op: Any) -> Any:
        return [[1]], [2]


def test_a_model_may_say_what_is_told_of_it_and_the_client_gets_its_answer() -> None:
    model, sink = tracked(Telling)
    assert ask(model, 5)["outputs"] == [10]
    (record,) = sink.records
    assert record["request"] == {"id": "e1", "inputs": [[1]]}
    assert record["resp"] == {"outputs": [2]}


def test_a_model_whose_own_telling_fails_answers_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Failing(Model):
        def logged_results(self, request: Any, response: Any, op: Any) -> Any:
            raise KeyError("x")

    model, sink = tracked(Failing)
    assert ask(model, 5)["outputs"] == [10]
    assert sink.records == []
    assert "no record was made of a request to model m3" in capsys.readouterr().out


def test_a_stream_that_fails_fails_no_request(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def push(self, records: Any) -> None:
            raise OSError("no broker")

    model, _ = tracked()
    model.context.stream.output_stream = Broken()
    assert ask(model, 5)["outputs"] == [10]
    assert "failed to write to the tracking stream: no broker" in capsys.readouterr().out


def test_a_record_is_not_what_the_client_gets() -> None:
    model, sink = tracked()
    answer = ask(model, 5)
    kept = copy.deepcopy(answer)
    sink.records[0]["resp"].clear()
    sink.records[0]["request"].clear()
    assert answer == kept


def test_without_a_stream_nothing_is_told() -> None:
    model = Model(GraphContext(level="error"), "m")
    model.post_init()
    assert model._model_logger is None
    stream = StreamContext(Sink(), enabled=False)
    stream.push({"a": 1})
    assert stream.output_stream.records == []


def test_an_object_without_a_logged_results_has_its_request_told() -> None:
    class Router:
        name, version = "ensemble", "v1"

    context = GraphContext()
    sink = Sink()
    context.stream = StreamContext(sink)
    ModelLog(Router(), context).push_result(0, 0, {"inputs": [1]}, {"outputs": [2]}, None)
    assert (sink.records[0]["class"], sink.records[0]["op"]) == ("Router", None)
