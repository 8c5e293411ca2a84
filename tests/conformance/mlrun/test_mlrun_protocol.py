"""What MLRun's routers and models promise to HTTP clients, black box, with the lane on and off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.client import Reply
from support.server import Server
from support.waiting import eventually

from .service import R4, add_model, ask, predict, write_model

pytestmark = pytest.mark.better_than_mms

TIMESTAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00"
SPEC = """\
kind: model
metadata: {key: iris}
spec:
  model_file: weights.bin
  parameters: {multiplier: 7}
  inputs:
  - {name: sepal_length, value_type: float}
  - {name: sepal_width, value_type: float}
  - {name: petal_length, value_type: float}
  - {name: petal_width, value_type: float}
  outputs:
  - {name: label, value_type: int}
"""
BY_NAME = {"petal_width": 0.2, "sepal_width": 3.5, "sepal_length": 5.1, "petal_length": 1.4}


def refusal(reply: Reply, status: int = 400) -> str:
    """The text of an error."""
    assert (reply.status, reply.header("Content-Type")) == (status, "text/plain"), reply
    return reply.text


# The models' routes


def test_the_list_has_the_routes_in_order(mlrun_server: Server) -> None:
    for path in ("/v2/models/", "/v2/models"):
        reply = mlrun_server.inference.get(path)
        assert (reply.status, reply.header("Content-Type")) == (200, "application/json")
        assert reply.json()["models"][:4] == list(R4)


@pytest.mark.edge
@pytest.mark.parametrize(
    ("path", "outputs"),
    [
        ("m1", 500),
        ("m2", 1000),
        ("m3/versions/v1", 1500),
        ("m3/versions/v2", 2000),
        ("m3:v2", 2000),
        ("m3", 1500),
    ],
)
def test_each_route_predicts_with_its_own_model(
    mlrun_server: Server, path: str, outputs: int
) -> None:
    for operation in ("infer", "predict", "infer/"):
        assert predict(mlrun_server.inference, path, [5], operation) == outputs


@pytest.mark.edge
def test_post_to_a_model_alone_predicts(mlrun_server: Server) -> None:
    reply = ask(mlrun_server.inference, "/v2/models/m1", {"inputs": [5]})
    assert reply.json()["outputs"] == 500


@pytest.mark.edge
def test_the_body_names_the_model(mlrun_server: Server) -> None:
    reply = ask(mlrun_server.inference, "/", {"model": "m2", "inputs": [5]})
    assert reply.json()["outputs"] == 1000


def test_the_body_names_version_and_operation(mlrun_server: Server) -> None:
    body = {"model": "m3:v2", "operation": "explain", "inputs": [5]}
    for path in ("/", "/v2/models"):
        reply = ask(mlrun_server.inference, path, body)
        assert reply.json()["outputs"] == {"explained": 5}
        assert (reply.json()["model_name"], reply.json()["model_version"]) == ("m3", "v2")


@pytest.mark.edge
def test_a_body_without_a_model_is_the_first_one_s(mlrun_server: Server) -> None:
    assert ask(mlrun_server.inference, "/", {"inputs": [5]}).json()["outputs"] == 500


def test_explain_is_answered_without_a_timestamp(mlrun_server: Server) -> None:
    reply = ask(mlrun_server.inference, "/v2/models/m1/explain", {"id": "x", "inputs": [5]})
    assert reply.body == b'{"id":"x","model_name":"m1","outputs":{"explained":5}}'


def test_a_custom_operation_gets_the_body(mlrun_server: Server) -> None:
    reply = ask(mlrun_server.inference, "/v2/models/m1/myop", {"test": "ok"})
    assert (reply.status, reply.json()) == (200, {"test": "ok"})


@pytest.mark.edge
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_a_custom_operation_is_asked_by_any_method(mlrun_server: Server, method: str) -> None:
    reply = mlrun_server.inference.request(method, "/v2/models/m1/method")
    assert (reply.status, reply.text) == (200, f"{method} method")


@pytest.mark.edge
def test_a_custom_operation_chooses_its_whole_answer(mlrun_server: Server) -> None:
    reply = mlrun_server.inference.get("/v2/models/m1/created")
    assert (reply.status, reply.header("X-Made")) == (201, "yes")
    assert (reply.header("Content-Type"), reply.json()) == ("application/json", {"made": True})


@pytest.mark.edge
def test_an_unknown_operation_is_told(mlrun_server: Server) -> None:
    reply = ask(mlrun_server.inference, "/v2/models/m1/xx", {})
    assert refusal(reply) == "ValueError: illegal model operation xx, method=POST"


@pytest.mark.edge
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_prediction_without_a_body_is_told_what_it_lacks(
    mlrun_server: Server, method: str
) -> None:
    reply = mlrun_server.inference.request(method, "/v2/models/m1/infer")
    assert refusal(reply) == 'ValueError: the request has no body; expected JSON with "inputs"'


@pytest.mark.edge
def test_an_unknown_model_is_told_with_those_that_there_are(mlrun_server: Server) -> None:
    for reply in (
        ask(mlrun_server.inference, "/v2/models/m5/xx", {}),
        ask(mlrun_server.inference, "/v2/models/m5/xx"),
        ask(mlrun_server.inference, "/", {"model": "m5", "inputs": [5]}),
    ):
        text = "ValueError: model m5 doesnt exist, available models: m1 | m2 | m3:v1 | m3:v2"
        assert refusal(reply).startswith(text)
        assert "ensemble" not in reply.text


@pytest.mark.edge
@pytest.mark.parametrize("path", ["/", "/v2/models"])
def test_a_body_names_a_version_as_a_path_does(mlrun_server: Server, path: str) -> None:
    for version, factor in (("v1", 300), ("v2", 400)):
        for named in ({"model": "m3", "version": version}, {"model": f"m3:{version}"}):
            for more in ({}, {"padding": "x" * 300_000}):
                body = {**more, **named, "inputs": [5]}
                answer = ask(mlrun_server.inference, path, body).json()
                assert (answer["outputs"], answer["model_version"]) == (5 * factor, version)
    for model in ("m3", "m1"):
        body = {"model": model, "version": "v9", "inputs": [5]}
        reply = ask(mlrun_server.inference, path, body)
        assert refusal(reply).startswith(f"ValueError: model {model}:v9 doesnt exist, available")
        by_path = f"/v2/models/{model}/versions/v9/infer"
        assert refusal(ask(mlrun_server.inference, by_path, {"inputs": [5]})) == reply.text


def test_ready_is_exactly_mlrun_s_text(mlrun_server: Server) -> None:
    reply = mlrun_server.inference.get("/v2/models/m1/ready", headers={"Mlrun-Event-Id": "E"})
    assert (reply.status, reply.text) == (200, "Model m1 is ready (event_id = E)")
    assert reply.header("Content-Type") == "text/plain"
    reply = ask(mlrun_server.inference, "/v2/models/m1/ready", {"inputs": [5]})
    assert refusal(reply) == "ValueError: illegal model operation ready, method=POST"


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/", {}),
        ("/v2/health", {}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
    ],
)
def test_the_server_tells_what_it_is(
    mlrun_server: Server, path: str, more: dict[str, bool]
) -> None:
    reply = mlrun_server.inference.get(path)
    assert reply.json() == {"name": "ModelRouter", "version": "v2", "extensions": []} | more


# Failures


def test_an_exception_of_the_model_is_told(mlrun_server: Server) -> None:
    add_model(mlrun_server, "m6", "Raiser")
    reply = ask(mlrun_server.inference, "/v2/models/m6/infer", {"inputs": [5]})
    assert refusal(reply) == "ValueError: this model never predicts"
    reply = ask(mlrun_server.inference, "/v2/models/m6/infer", {"inputs": ["caused"]})
    assert refusal(reply) == "RuntimeError: outer, caused by: 'inner'"
    assert ask(mlrun_server.inference, "/v2/models/m6/ready").status == 200


@pytest.mark.edge
def test_an_exception_with_a_status_chooses_it(mlrun_server: Server) -> None:
    add_model(mlrun_server, "m6", "Raiser")
    reply = ask(mlrun_server.inference, "/v2/models/m6/infer", {"inputs": ["conflict"]})
    assert refusal(reply, 409) == "MLRunConflictError: taken"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"x": 1}, 'Exception: Expected key "inputs" in request body'),
        ({"inputs": 5}, 'Exception: Expected "inputs" to be a list'),
    ],
)
def test_a_body_without_a_list_of_inputs_is_told(
    mlrun_server: Server, body: object, text: str
) -> None:
    assert refusal(ask(mlrun_server.inference, "/v2/models/m1/infer", body)) == text


@pytest.mark.edge
def test_a_body_that_is_no_json_is_told(mlrun_server: Server) -> None:
    path = "/v2/models/m1/infer"
    reply = mlrun_server.inference.post(path, b"xx [1,2]", content_type="application/json")
    assert refusal(reply).startswith("failed to json decode event, ")
    reply = mlrun_server.inference.post(path, b"xx [1,2]")
    assert refusal(reply).startswith("ValueError: Unrecognized request format")


def test_predict_without_a_definition_is_told(mlrun_server: Server) -> None:
    add_model(mlrun_server, "bytes", "Bytes")
    reply = ask(mlrun_server.inference, "/v2/models/bytes/explain", {"inputs": [5]})
    assert refusal(reply) == "NotImplementedError: NotImplementedError()"


# Loading


def test_a_model_that_still_loads_is_not_ready(mlrun_server: Server, scratch: Path) -> None:
    gate = scratch / "gate"
    url = write_model(mlrun_server, f"slow{scratch.name}", "Slow", {"wait_for": str(gate)})
    name = f"slow{scratch.name}"
    reply = mlrun_server.register(url, initial_workers=1, load_mode="async")
    assert reply.status in (200, 202), reply
    try:
        path = f"/v2/models/{name}"
        reply = mlrun_server.inference.get(path + "/ready")
        assert (reply.status, reply.text) == (408, "model not ready")
        reply = ask(mlrun_server.inference, path + "/infer", {"inputs": [5]})
        assert refusal(reply) == f"RuntimeError: model {name} is not ready yet"
        reply = mlrun_server.inference.get("/v2/health/ready")
        assert reply.status == 503
        assert mlrun_server.inference.get("/v2/health").status == 200
        has_loaded = rf"Model {name} loaded\."
        assert not re.search(has_loaded, mlrun_server.log("mms_log.log"))
        gate.touch()
        eventually(
            "the model is ready",
            lambda: mlrun_server.inference.get(path + "/ready").status == 200,
        )
        mlrun_server.wait_for_log("mms_log.log", has_loaded)
        assert predict(mlrun_server.inference, name, [5]) == 5
    finally:
        mlrun_server.unregister(name)


def test_a_load_that_fails_beside_requests_is_shown(mlrun_server: Server, scratch: Path) -> None:
    name = f"torn{scratch.name}"
    gate = scratch / "gate"
    url = write_model(mlrun_server, name, "Slow", {"wait_for": str(gate), "fails": 1})
    mlrun_server.register(url, initial_workers=1, load_mode="async")
    gate.touch()
    try:

        def told() -> Any:
            return mlrun_server.describe(name).get("loadError")

        eventually("the error is shown", told)
        assert "the weights are torn" in told()
        (worker,) = mlrun_server.describe(name)["workers"]
        assert (worker["state"], worker["status"], worker["modelReady"]) == (
            *("FAILED", "UNLOADING"),
            False,
        )
        reply = mlrun_server.inference.get(f"/v2/models/{name}/ready")
        assert (reply.status, reply.text) == (408, f"model not ready, its load failed: {told()}")
        reply = ask(mlrun_server.inference, f"/v2/models/{name}/infer", {"inputs": [5]})
        assert refusal(reply).startswith(
            f"RuntimeError: model {name} is not ready, its load failed"
        )
        assert f"Model {name} loaded." not in mlrun_server.log("mms_log.log")
    finally:
        mlrun_server.unregister(name)


def test_a_load_that_fails_fails_the_registration(mlrun_server: Server, scratch: Path) -> None:
    name = f"failing{scratch.name}"
    gate = scratch / "gate"
    gate.touch()
    url = write_model(mlrun_server, name, "Slow", {"wait_for": str(gate), "fails": 1})
    reply = mlrun_server.register(url, initial_workers=1, synchronous="true")
    assert reply.status == 500
    assert ask(mlrun_server.inference, f"/v2/models/{name}/ready").status == 400
    mlrun_server.wait_for_log("model_log.log", f"failed to load model {name}")


# A model with a schema


@pytest.fixture
def iris(mlrun_server: Server) -> Server:
    add_model(mlrun_server, "iris", "Iris", with_spec=SPEC)
    return mlrun_server


def test_metadata_has_the_schema(iris: Server) -> None:
    for path in ("/v2/models/iris/", "/v2/models/iris"):
        metadata = iris.inference.get(path).json()
        assert list(metadata) == ["name", "version", "inputs", "outputs"]
        assert (metadata["name"], metadata["version"]) == ("iris", "")
        assert [column["value_type"] for column in metadata["inputs"]] == ["float"] * 4
        assert [column["name"] for column in metadata["outputs"]] == ["label"]


def test_metadata_without_a_schema_is_empty_and_names_the_version(mlrun_server: Server) -> None:
    body = mlrun_server.inference.get("/v2/models/m1").body
    assert body == b'{"name":"m1","version":"","inputs":[],"outputs":[]}'
    metadata = mlrun_server.inference.get("/v2/models/m3/versions/v2").json()
    assert (metadata["name"], metadata["version"]) == ("m3", "v2")


def test_inputs_by_name_are_put_in_the_schema_s_order(iris: Server) -> None:
    values = [5.1, 3.5, 1.4, 0.2]
    expected = predict(iris.inference, "iris", values)
    assert expected == pytest.approx([510.0, 350.0, 140.0, 20.0])
    assert predict(iris.inference, "iris", values, "predict") == expected
    for operation in ("infer_dict", "predict_dict"):
        assert predict(iris.inference, "iris", BY_NAME, operation) == expected


# Answers


def test_an_answer_has_its_members_in_order(mlrun_server: Server) -> None:
    path = "/v2/models/m3/versions/v1/infer"
    reply = ask(mlrun_server.inference, path, {"id": "abc", "inputs": [5]})
    assert reply.header("Content-Type") == "application/json"
    answer = reply.json()
    assert list(answer) == ["id", "model_name", "outputs", "timestamp", "model_version"]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("abc", "m3", "v1")
    assert re.fullmatch(TIMESTAMP, answer["timestamp"])


def test_the_version_is_left_out_where_there_is_none(mlrun_server: Server) -> None:
    answer = ask(mlrun_server.inference, "/v2/models/m1/infer", {"inputs": [5]}).json()
    assert list(answer) == ["id", "model_name", "outputs", "timestamp"]


@pytest.mark.edge
def test_the_id_is_the_body_s_or_the_header_s_or_the_request_s(mlrun_server: Server) -> None:
    def answered(body: object, headers: dict[str, str]) -> Reply:
        return ask(mlrun_server.inference, "/v2/models/m1/infer", body, headers=headers)

    header = {"mlrun-event-id": "from header"}
    assert answered({"id": "body", "inputs": [5]}, header).json()["id"] == "body"
    assert answered({"inputs": [5]}, header).json()["id"] == "from header"
    reply = answered({"inputs": [5]}, {})
    assert reply.json()["id"] == reply.header("X-Request-Id")


@pytest.mark.edge
def test_the_whole_request_reaches_the_model(mlrun_server: Server) -> None:
    add_model(mlrun_server, "whole", "Whole")
    body = {"id": "1", "inputs": [5], "parameters": {"a": 1}, "outputs": ["x"], "more": None}
    reply = ask(mlrun_server.inference, "/v2/models/whole/infer", body)
    assert reply.json()["outputs"] == body


def test_a_picture_becomes_the_input(mlrun_server: Server) -> None:
    add_model(mlrun_server, "bytes", "Bytes")
    reply = mlrun_server.inference.post(
        "/v2/models/bytes/infer", b"\x89PNG\x00", content_type="image/png"
    )
    assert reply.json()["outputs"] == ["BytesIO", "89504e4700"]


@pytest.mark.edge
@pytest.mark.parametrize(
    "content_type", [None, "application/json", "json", "application/json; charset=utf-8"]
)
def test_json_is_read_whatever_way_it_is_announced(
    mlrun_server: Server, content_type: str | None
) -> None:
    reply = mlrun_server.inference.post(
        "/v2/models/m1/infer", b'{"inputs": [5]}', content_type=content_type
    )
    assert reply.json()["outputs"] == 500


def test_numpy_is_written_as_json(mlrun_server: Server) -> None:
    add_model(mlrun_server, "odd", "Odd")
    assert predict(mlrun_server.inference, "odd", ["array"]) == [[1, 2], [3, 4]]
    assert predict(mlrun_server.inference, "odd", ["scalar"]) == 0.5
    assert predict(mlrun_server.inference, "odd", ["nan"]) == [None, None]
    reply = ask(mlrun_server.inference, "/v2/models/odd/infer", {"inputs": ["object"]})
    assert refusal(reply, 500).startswith("TypeError: ")


@pytest.mark.edge
def test_the_prediction_route_serves_the_model_too(mlrun_server: Server) -> None:
    reply = ask(mlrun_server.inference, "/predictions/m1", {"inputs": [5]})
    assert reply.json()["outputs"] == 500


# What is off unless asked for


@pytest.mark.edge
def test_the_path_s_model_and_operation_beat_the_body_s(mlrun_server: Server) -> None:
    body = {"model": "m2", "operation": "explain", "inputs": [5]}
    assert ask(mlrun_server.inference, "/v2/models/m1/infer", body).json()["outputs"] == 500


@pytest.mark.edge
def test_the_path_header_does_not_reroute(mlrun_server: Server) -> None:
    reply = ask(
        mlrun_server.inference,
        "/v2/models/m1/infer",
        {"inputs": [5]},
        headers={"MLRUN-EVENT-PATH": "/v2/models/m2/infer"},
    )
    assert reply.json()["outputs"] == 500


def test_data_urls_are_not_fetched(mlrun_server: Server, scratch: Path) -> None:
    add_model(mlrun_server, "bytes", "Bytes")
    secret = scratch / "secret"
    secret.write_bytes(b"secret")
    reply = ask(mlrun_server.inference, "/v2/models/bytes/infer", {"data_url": str(secret)})
    assert reply.status == 400
    assert b"secret".hex() not in reply.text


@pytest.mark.edge
def test_a_client_cannot_forge_what_the_front_tells_a_worker(mlrun_server: Server) -> None:
    with mlrun_server.inference.wire() as wire:
        reply = wire.call("POST", "/v2/models/m1/infer", b'{"inputs":[5]}', ":operation: explain")
        assert reply.status == 400
    reply = mlrun_server.inference.post("/v2/models/m1/infer%0A:method%0AGET", b"{}")
    assert reply.status == 400


# All switches on. The lane leaves every path to aiohttp's side then, as a header may name another one.


def test_strict_statuses_say_what_is_wrong(strict_server: Server) -> None:
    add_model(strict_server, "m6", "Raiser")
    for path, body, status in (
        ("/v2/models/m5/infer", {"inputs": [5]}, 404),
        ("/v2/models/m1/xx", {}, 404),
        ("/v2/models/m1/infer", {"inputs": 5}, 422),
        ("/v2/models/m6/infer", {"inputs": [5]}, 500),
        ("/v2/models/m6/infer", {"inputs": ["conflict"]}, 409),
    ):
        assert refusal(ask(strict_server.inference, path, body), status)


def test_strictly_a_model_that_still_loads_is_unavailable(
    strict_server: Server, scratch: Path
) -> None:
    gate = scratch / "gate"
    name = f"slow{scratch.name}"
    url = write_model(strict_server, name, "Slow", {"wait_for": str(gate)})
    strict_server.register(url, initial_workers=1, load_mode="async")
    try:
        for reply in (
            strict_server.inference.get(f"/v2/models/{name}/ready"),
            ask(strict_server.inference, f"/v2/models/{name}/infer", {"inputs": [5]}),
        ):
            assert reply.status == 503
            assert int(reply.header("Retry-After") or 0) > 0
    finally:
        gate.touch()
        strict_server.unregister(name)


def test_the_body_s_operation_beats_the_path_s_where_it_may(strict_server: Server) -> None:
    body = {"operation": "explain", "inputs": [5]}
    reply = ask(strict_server.inference, "/v2/models/m1/infer", body)
    assert reply.json()["outputs"] == {"explained": 5}


def test_the_path_header_reroutes_where_it_may(strict_server: Server) -> None:
    reply = ask(
        strict_server.inference,
        "/v2/models/m1/infer",
        {"inputs": [5]},
        headers={"MLRUN-EVENT-PATH": "/v2/models/m3/versions/v2/explain"},
    )
    assert reply.json()["outputs"] == {"explained": 5}
    assert reply.json()["model_version"] == "v2"


def test_data_urls_are_fetched_where_they_may(strict_server: Server, scratch: Path) -> None:
    add_model(strict_server, "bytes", "Bytes")
    file = scratch / "picture"
    file.write_bytes(b"\x89PNG")
    reply = ask(strict_server.inference, "/v2/models/bytes/infer", {"data_url": str(file)})
    assert reply.json()["outputs"] == ["BytesIO", "89504e47"]


def test_nan_is_an_error_where_the_policy_says_so(strict_server: Server) -> None:
    add_model(strict_server, "odd", "Odd")
    reply = ask(strict_server.inference, "/v2/models/odd/infer", {"inputs": ["nan"]})
    assert refusal(reply, 500).startswith("ValueError: ")


def test_the_default_model_is_at_the_root(strict_server: Server) -> None:
    assert ask(strict_server.inference, "/", {"inputs": [5]}).json()["outputs"] == 1000


def test_a_spec_in_a_request_is_refused_where_allowed_urls_say_what_models_are_from(
    strict_server: Server,
) -> None:
    route = {"class_name": "Mul", "class_args": {"model_path": ""}}
    document = {
        "graph": {"kind": "router", "routes": {"far": route}},
        "filename": "x.py",
        "code": "",
    }
    reply = strict_server.management.post_json("/models", {"serving_spec": document})
    assert reply.status == 400
    assert "allowed_urls" in reply.text


# Beside other models


@pytest.mark.edge
def test_mms_s_routes_stay_as_they_are(mlrun_server: Server, server: Server) -> None:
    assert mlrun_server.inference.options("/").json()["openapi"] == "3.0.1"
    add_model(server, "beside", "Mul", {"multiplier": 2})
    try:
        assert predict(server.inference, "beside", [5]) == 10
        assert server.inference.get("/").status == 405
        # Models of other interfaces take the requests of the Open Inference Protocol there.
        reply = ask(server.inference, "/v2/models/noop/infer", {"inputs": [5]})
        assert (reply.status, list(reply.json())) == (400, ["error"])
    finally:
        server.unregister("beside")
        server.__dict__["mlrun_models"].discard("beside")
