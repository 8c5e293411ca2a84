"""Routers and models, asked through the mock server as MLRun's own tests ask them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import harness_classes
import numpy as np
import pytest
from harness_classes import MAY_LOAD, Mul, routed

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.model.options import ServingOptions
from mms.serving import GraphServer, MockTrigger, ServingFunction, new_function

FIVE = {"inputs": [5]}


def mock(function: ServingFunction, **options: Any) -> GraphServer:
    return function.to_mock_server(namespace=harness_classes, **options)


@pytest.fixture(scope="module")
def four() -> Iterator[GraphServer]:
    server = mock(routed())
    yield server
    server.wait_for_completion()


@pytest.fixture
def slow() -> Iterator[GraphServer]:
    MAY_LOAD.clear()
    function = routed()
    function.add_model("m5", ".", class_name="Slow")
    function.spec.load_mode = "async"
    server = mock(function)
    yield server
    MAY_LOAD.set()
    server.graph["m5"].object._load_thread.join()


def one(class_name: str, **params: Any) -> GraphServer:
    function = new_function("tests", kind="serving")
    function.add_model("my", "", class_name=class_name, **params)
    return mock(function)


def test_the_models_are_listed_by_their_keys(four: GraphServer) -> None:
    assert four.test("/v2/models/") == {"models": ["m1", "m2", "m3:v1", "m3:v2"]}


@pytest.mark.parametrize(
    ("path", "outputs"),
    [
        ("m1", 500),
        ("m2", 1000),
        ("m3/versions/v1", 1500),
        ("m3/versions/v2", 2000),
        ("m3:v2", 2000),
    ],
)
def test_a_path_names_model_and_version(four: GraphServer, path: str, outputs: int) -> None:
    assert four.test(f"/v2/models/{path}/infer", FIVE)["outputs"] == outputs


def test_a_body_names_the_model(four: GraphServer) -> None:
    assert four.test("/", {"model": "m2", "inputs": [5]})["outputs"] == 1000


def test_a_body_names_model_and_operation_of_an_empty_path(four: GraphServer) -> None:
    body = {"model": "m3:v2", "operation": "explain", "inputs": [5]}
    assert four.test("", body)["outputs"] == {"explained": 5}


def test_explain_explains(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/explain", FIVE)
    assert answer["outputs"]["explained"] == 5
    assert list(answer) == ["id", "model_name", "outputs"]


def test_an_operation_of_the_class_gets_the_event(four: GraphServer) -> None:
    assert four.test("/v2/models/m1/myop", {"test": "ok"}) == {"test": "ok"}


def test_a_response_of_the_class_is_returned_as_it_is(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/created", {"a": 1})
    assert (answer.status_code, answer.body, answer.headers["X-Kind"]) == (201, "made", "custom")


def test_an_unknown_operation_is_refused_by_name(four: GraphServer) -> None:
    with pytest.raises(RuntimeError, match=r"failed \(400\): .*illegal model operation xx"):
        four.test("/v2/models/m1/xx", FIVE)


def test_an_unknown_model_is_refused_with_those_there_are(four: GraphServer) -> None:
    with pytest.raises(RuntimeError, match=r"model m5 doesnt exist, available models: m1 \| m2"):
        four.test("/v2/models/m5/xx", FIVE)


def test_silent_returns_the_error(four: GraphServer) -> None:
    answer = four.test("/v2/models/m5/xx", FIVE, silent=True)
    assert answer.status_code == 400
    assert answer.content_type == "text/plain"


def test_a_wrong_prefix_is_refused_with_the_right_one(four: GraphServer) -> None:
    with pytest.raises(RuntimeError, match="illegal path prefix /foo, must start with /v2/models"):
        four.test("/foo", FIVE)


def test_ready_says_which_model_is_ready(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/ready", method="GET", event_id="E")
    assert answer.status_code == 200
    assert text_of(answer) == "Model m1 is ready (event_id = E)"


@pytest.mark.parametrize("path", ["/", "/v2/health"])
def test_the_root_and_health_tell_of_the_router(four: GraphServer, path: str) -> None:
    expected = {"name": "ModelRouter", "version": "v2", "extensions": []}
    assert four.test(path, method="GET") == expected


def test_a_model_that_raises_answers_400_and_its_message() -> None:
    function = routed()
    function.add_model("m6", ".", class_name="Raiser")
    function.set_tracking("dummy://")
    server = mock(function)
    answer = server.test("/v2/models/m6/infer", FIVE, silent=True)
    assert answer.status_code == 400
    assert answer.body == "ValueError: no prediction today"
    record = server.context.stream.output_stream.event_list[0]
    assert (record["model"], record["op"], record["error"]) == (
        "m6",
        "infer",
        "no prediction today",
    )


def test_an_error_keeps_its_cause_for_the_developer() -> None:
    server = one("Raiser")
    with pytest.raises(RuntimeError) as raised:
        server.test("/v2/models/my/infer", FIVE)
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_model_that_loads_is_not_ready_and_refuses(slow: GraphServer) -> None:
    ready = slow.test("/v2/models/m5/ready", method="GET", silent=True)
    assert (ready.status_code, text_of(ready)) == (408, "model not ready")
    refused = slow.test("/v2/models/m5/infer", FIVE, silent=True)
    assert refused.status_code == 400
    assert refused.body == "RuntimeError: model m5 is not ready yet"


def test_a_streams_event_waits_for_its_model(slow: GraphServer) -> None:
    opener = threading.Timer(0.2, MAY_LOAD.set)
    opener.start()
    body = {"model": "m5", "inputs": [5]}
    answer = slow.test("", body, trigger=MockTrigger(kind="stream"))
    opener.join()
    assert answer["outputs"] == 5


def test_a_model_that_fails_to_load_fails_the_server() -> None:
    with pytest.raises(RuntimeError, match="failed to load model my") as raised:
        one("NeverLoads")
    assert isinstance(raised.value.__cause__, OSError)


def test_an_illegal_load_mode_is_refused() -> None:
    function = routed()
    function.spec.load_mode = "later"
    with pytest.raises(MLRunInvalidArgumentError, match="illegal model loading mode later"):
        mock(function)


def test_a_template_object_becomes_the_model_and_is_tracked() -> None:
    function = new_function("tests", kind="serving", project="x")
    function.set_topology("router")
    function.add_model("my", ".", class_name=Mul(name="my", multiplier=100))
    function.set_tracking("dummy://")
    server = mock(function)
    assert server.test("/v2/models/my/infer", FIVE)["outputs"] == 500
    assert len(server.context.stream.output_stream.event_list) == 1


def test_a_model_is_a_flows_step_without_a_router() -> None:
    function = new_function("tests", kind="serving")
    graph = function.set_topology("flow", engine="sync")
    graph.to(Mul(name="my2", multiplier=100)).respond()
    server = mock(function)
    assert server.test("/", method="GET")["name"] == "my2"
    assert server.test("/ready", method="GET").status_code == 200
    assert server.test("/", FIVE)["outputs"] == 500


def test_models_of_a_flow_read_and_write_parts_of_the_body() -> None:
    function = new_function("tests", kind="serving")
    graph = function.set_topology("flow", engine="async")
    graph.to("Mul", "m1", input_path="req", result_path="m1", multiplier=2).to(
        "Mul", "m2", input_path="req", result_path="m2", multiplier=3
    ).respond()
    server = mock(function)
    answer = server.test("/", {"req": {"inputs": [5]}})
    server.wait_for_completion()
    assert list(answer) == ["req", "m1", "m2"]
    assert (answer["m1"]["outputs"], answer["m2"]["outputs"]) == (10, 15)


def test_a_router_has_a_limit_of_routes() -> None:
    function = new_function("tests", kind="serving")
    router = function.set_topology("router")
    with pytest.raises(MLRunInvalidArgumentError, match="more than 4500 routes"):
        for number in range(4501):
            router.add_route(f"m{number}", class_name="Mul")


# Ids, bodies and answers


@pytest.mark.parametrize("body", [None, {}, [], ""])
def test_what_has_no_body_gets(four: GraphServer, body: Any) -> None:
    assert four.test("/v2/models/m1", body)["name"] == "m1"


def test_an_answer_has_its_members_in_order_and_the_time(four: GraphServer) -> None:
    answer = four.test("/v2/models/m3:v1/infer", FIVE)
    assert list(answer) == ["id", "model_name", "outputs", "timestamp", "model_version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00", answer["timestamp"])
    assert (answer["model_name"], answer["model_version"]) == ("m3", "v1")


def test_the_bodys_id_goes_before_the_headers_and_that_before_the_events(four: GraphServer) -> None:
    path = "/v2/models/m1/infer"
    headers = {"mlrun-event-id": "of header"}
    with_both = four.test(path, {"id": "of body", "inputs": [5]}, headers=headers)
    with_header = four.test(path, FIVE, headers=headers, event_id="E")
    with_event = four.test(path, FIVE, event_id="E")
    assert [answer["id"] for answer in (with_both, with_header, with_event)] == [
        "of body",
        "of header",
        "E",
    ]


def test_a_post_to_a_model_infers(four: GraphServer) -> None:
    assert four.test("/v2/models/m1", FIVE)["outputs"] == 500


def test_an_empty_post_is_refused(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/infer", method="POST", silent=True)
    assert answer.status_code == 400


def test_text_in_json_is_read_as_it(four: GraphServer) -> None:
    assert four.test("/v2/models/m1/infer", json.dumps(FIVE))["outputs"] == 500


def test_a_response_has_the_json_when_no_body_is_wanted(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/infer", FIVE, get_body=False)
    assert answer.content_type == "application/json"
    assert json.loads(answer.body)["outputs"] == 500


def test_an_image_becomes_the_input() -> None:
    class Size(Mul):
        def predict(self, request: Any) -> Any:
            return len(request["inputs"][0].read())

    function = new_function("tests", kind="serving")
    function.add_model("my", "", class_name="Size")
    server = function.to_mock_server(namespace={"Size": Size})
    answer = server.test("/v2/models/my/infer", b"\x89PNG", content_type="image/png")
    assert answer["outputs"] == 4


def test_bytes_that_are_nothing_known_are_refused(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/infer", b"\x00\x01", content_type="a/b", silent=True)
    assert (answer.status_code, answer.body.split(",")[0]) == (
        400,
        "ValueError: Unrecognized request format",
    )


def test_missing_and_wrong_inputs_are_refused_by_name(four: GraphServer) -> None:
    missing = four.test("/v2/models/m1/infer", {"a": 1}, silent=True)
    wrong = four.test("/v2/models/m1/infer", {"inputs": 5}, silent=True)
    assert missing.body == 'Exception: Expected key "inputs" in request body'
    assert wrong.body == 'Exception: Expected "inputs" to be a list'


# What passes here passes deployed


def test_an_array_comes_back_as_clients_get_it() -> None:
    answer = one("Arr", multiplier=2).test("/v2/models/my/infer", {"inputs": [[5, 6]]})
    assert answer["outputs"] == [10]
    assert type(answer["outputs"]) is list


def test_what_json_cannot_say_fails_as_it_would_deployed() -> None:
    server = one("Unwritable")
    with pytest.raises(RuntimeError, match=r"failed \(500\): TypeError: .*object.*serializable"):
        server.test("/v2/models/my/infer", FIVE)


def test_numbers_that_json_cannot_write_are_null() -> None:
    answer = one("NotANumber").test("/v2/models/my/infer", FIVE)
    assert answer["outputs"] == [None, 1.5]


def test_a_servers_options_are_those_of_the_local_one() -> None:
    server = mock(routed(), options=ServingOptions(strict_status=True, nan_policy="error"))
    answer = server.test("/v2/models/m5/infer", FIVE, silent=True)
    assert answer.status_code == 404


def test_a_body_that_is_an_array_is_sent(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/myop", np.array([1, 2]), silent=True)
    # It is no dict, and never was one for a client: the router says so.
    assert answer.status_code == 400


def text_of(answer: Any) -> str:
    body = answer.body
    return body.decode() if isinstance(body, bytes) else str(body)


def test_what_a_graph_writes_into_a_body_its_sender_does_not_see() -> None:
    body = {"inputs": [5]}
    one("Raiser").test("/v2/models/my/infer", body, silent=True)
    assert body == {"inputs": [5]}
