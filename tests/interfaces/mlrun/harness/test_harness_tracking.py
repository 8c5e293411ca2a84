"""Records of requests to the mock server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness_classes
import pytest

from mms.interfaces.mlrun import GraphServer, ServingFunction, new_function
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError

ROWS = {"inputs": [[5, 6]]}


def tracked(class_name: str = "Arr", **tracking: Any) -> GraphServer:
    function = new_function("tests", kind="serving", project="x")
    function.add_model("my", ".", class_name=class_name, multiplier=2)
    function.set_tracking("v3io://fake", stream_args={"mock": True, "access_key": "x"}, **tracking)
    return mock(function)


def mock(function: ServingFunction) -> GraphServer:
    return function.to_mock_server(namespace=harness_classes)


def records_of(server: GraphServer) -> list[Any]:
    queue = server.context.stream.output_stream._mock_queue
    return [json.loads(entry["data"]) for entry in queue]


def test_a_request_leaves_one_record_with_its_arrays_as_lists() -> None:
    server = tracked()
    server.test("/v2/models/my/infer", ROWS)
    (record,) = records_of(server)
    assert (record["model"], record["class"], record["op"]) == ("my", "Arr", "infer")
    assert record["request"]["inputs"] == [[5, 6]]
    assert record["resp"]["outputs"] == [10]
    assert record["function_uri"] == "x/tests"
    assert isinstance(record["microsec"], int)


def test_a_class_says_what_is_recorded_and_its_answer_stays() -> None:
    server = tracked("ArrLogged")
    answer = server.test("/v2/models/my/infer", ROWS)
    (record,) = records_of(server)
    assert record["request"]["inputs"] == [[1]]
    assert record["resp"]["outputs"] == [2]
    assert answer["outputs"] == [10]


def test_an_ensemble_and_each_of_its_models_leave_a_record() -> None:
    function = new_function("tests", kind="serving", project="x")
    function.set_topology("router", "mlrun.serving.VotingEnsemble", vote_type="regression")
    function.add_model("m1", ".", class_name="Arr", multiplier=2)
    function.add_model("m2", ".", class_name="Arr", multiplier=3)
    function.set_tracking("dummy://")
    server = mock(function)
    server.test("/v2/models/infer", ROWS)
    records = server.context.stream.output_stream.event_list
    outputs = {record["model"]: record["resp"]["outputs"] for record in records}
    assert outputs == {"m1": [10], "m2": [15], "VotingEnsemble": [12.5]}
    assert len(records) == 3


@pytest.mark.parametrize(("sample", "count"), [(1, 6), (2, 3), (4, 1)])
def test_only_every_nth_request_is_recorded(sample: int, count: int) -> None:
    server = tracked(sample=sample)
    for _ in range(6):
        assert server.test("/v2/models/my/infer", ROWS)["outputs"] == [10]
    assert len(records_of(server)) == count


def test_records_of_a_batch_that_is_not_full_are_sent_at_the_end() -> None:
    server = tracked(batch=3)
    for _ in range(4):
        server.test("/v2/models/my/infer", ROWS)
    assert [len(record["values"]) for record in records_of(server)] == [3]
    server.wait_for_completion()
    assert [len(record["values"]) for record in records_of(server)] == [3, 1]


def test_records_go_to_a_file(tmp_path: Path) -> None:
    function = new_function("tests", kind="serving", project="x")
    function.add_model("my", ".", class_name="Arr", multiplier=2)
    function.set_tracking(str(tmp_path / "{project}.jsonl"))
    server = mock(function)
    server.test("/v2/models/my/infer", ROWS)
    server.wait_for_completion()
    (line,) = (tmp_path / "x.jsonl").read_text().splitlines()
    assert json.loads(line)["resp"]["outputs"] == [10]


def test_tracking_that_is_asked_for_without_a_stream_is_kept_in_memory() -> None:
    function = new_function("tests", kind="serving", project="x")
    function.add_model("my", ".", class_name="Arr", multiplier=2)
    server = function.to_mock_server(namespace=harness_classes, track_models=True)
    server.test("/v2/models/my/infer", ROWS)
    assert len(server.context.stream.output_stream.event_list) == 1


def test_tracking_can_be_switched_off() -> None:
    function = new_function("tests", kind="serving", project="x")
    function.add_model("my", ".", class_name="Arr", multiplier=2)
    function.set_tracking("dummy://")
    function.set_tracking(enable_tracking=False)
    assert mock(function).context.stream.enabled is False


def test_a_percentage_is_one_in_so_many() -> None:
    function = new_function("tests", kind="serving")
    function.set_tracking("dummy://", sampling_percentage=25)
    assert function.spec.parameters["log_stream_sample"] == 4
    with pytest.raises(MLRunInvalidArgumentError, match="sampling_percentage is 0"):
        function.set_tracking("dummy://", sampling_percentage=0)


def test_errors_go_to_the_error_stream_with_their_event() -> None:
    function = new_function("tests", kind="serving", project="x")
    function.add_model("my", ".", class_name="Raiser")
    function.spec.error_stream = "dummy://"
    server = mock(function)
    server.test("/v2/models/my/infer", {"inputs": [5]}, event_id="E", silent=True)
    (record,) = server._error_stream_object.event_list
    assert (record["source"], record["event"]["id"]) == ("_handler", "E")
    assert record["message"].startswith("ValueError: no prediction today")
    assert record["function_uri"] == "x/tests"
