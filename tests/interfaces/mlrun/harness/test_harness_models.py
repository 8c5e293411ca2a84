"""Routers and models, asked through the mock server as MLRun's own tests ask them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import harness_classes
import numpy as np
import pytest
from harness_classes import MAY_LOAD, Mul, routed

from mms.interfaces.mlrun import GraphServer, ServingFunction, new_function
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.model.options import ServingOptions

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


def test_a_response_of_the_class_is_returned_as_it_is(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/created", {"a": 1})
    assert (answer.status_code, answer.body, answer.headers["X-Kind"]) == (201, "made", "custom")


def test_an_unknown_model_is_refused_with_those_there_are(four: GraphServer) -> None:
    with pytest.raises(RuntimeError, match=r"model m5 doesnt exist, available models: m1 \| m2"):
        four.test("/v2/models/m5/xx", FIVE)


def test_silent_returns_the_error(four: GraphServer) -> None:
    answer = four.test("/v2/models/m5/xx", FIVE, silent=True)
    assert answer.status_code == 400
    assert answer.content_type == "text/plain"


def test_a_topology_names_the_class_of_the_router_and_its_arguments() -> None:
    topology = {"class_name": "mlrun.serving.routers.VotingEnsemble", "weights": {"m2": 1}}
    answer = mock(routed("MulList", topology)).test("/v2/models/infer", {"inputs": [[5]]})
    assert (answer["model_name"], answer["outputs"]) == ("VotingEnsemble", [1000])


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


# Ids, bodies and answers


@pytest.mark.parametrize("body", [None, {}, [], ""])
def test_what_has_no_body_gets(four: GraphServer, body: Any) -> None:
    assert four.test("/v2/models/m1", body)["name"] == "m1"


def test_text_in_json_is_read_as_it(four: GraphServer) -> None:
    assert four.test("/v2/models/m1/infer", json.dumps(FIVE))["outputs"] == 500


def test_a_response_has_the_json_when_no_body_is_wanted(four: GraphServer) -> None:
    answer = four.test("/v2/models/m1/infer", FIVE, get_body=False)
    assert answer.content_type == "application/json"
    assert json.loads(answer.body)["outputs"] == 500


# What passes here passes deployed


def test_what_json_cannot_say_fails_as_it_would_deployed() -> None:
    server = one("Unwritable")
    with pytest.raises(RuntimeError, match=r"failed \(500\): TypeError: .*object.*serializable"):
        server.test("/v2/models/my/infer", FIVE)


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
