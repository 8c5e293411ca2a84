"""`/ping`, the API documents, and which listener serves which route."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from support.client import Reply
from support.server import Server, manifest
from support.waiting import eventually

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

ERROR_SCHEMA = {
    "type": "object",
    "required": ["code", "type", "message"],
    "properties": {"code": "integer", "type": "string", "message": "string"},
}

# path -> method -> (operationId, {parameter: (in, default)}, response codes)
Operations = dict[str, dict[str, tuple[str, dict[str, tuple[str, str | None]], set[str]]]]

_MODEL_IN_PATH: dict[str, tuple[str, str | None]] = {"model_name": ("path", None)}
_INVOCATIONS_CODES = {"200", "400", "404", "500", "503"}

DESCRIPTION: Operations = {"/": {"options": ("apiDescription", {}, {"200", "500"})}}
INFERENCE: Operations = {
    "/{model_name}/predict": {"post": ("predict", _MODEL_IN_PATH, {"200", "404", "500", "503"})},
    "/ping": {"get": ("ping", {}, {"200", "500"})},
    "/predictions/{model_name}": {
        "post": ("predictions", _MODEL_IN_PATH, {"200", "404", "500", "503"}),
        "options": ("predictionsApi", _MODEL_IN_PATH, {"200"}),
    },
    "/api-description": {"get": ("apiDescription", {}, {"200", "500"})},
    "/invocations": {"post": ("invocations", {"model_name": ("query", None)}, _INVOCATIONS_CODES)},
    "/models/{model_name}/invoke": {
        "post": ("invocations", {"model_name": ("query", None)}, _INVOCATIONS_CODES)
    },
}
MANAGEMENT: Operations = {
    "/models": {
        "get": (
            "listModels",
            {
                "limit": ("query", "100"),
                "next_page_token": ("query", None),
                "model_name_pattern": ("query", None),
            },
            {"200", "500"},
        ),
        "post": (
            "registerModel",
            {
                "model_url": ("query", None),
                "model_name": ("query", None),
                "handler": ("query", None),
                "runtime": ("query", None),
                "batch_size": ("query", "1"),
                "max_batch_delay": ("query", "100"),
                "response_timeout": ("query", "2"),
                "initial_workers": ("query", "0"),
                "synchronous": ("query", "false"),
                "preload_model": ("query", "false"),
            },
            {"200", "202", "210", "400", "404", "409", "500"},
        ),
    },
    "/models/{model_name}": {
        "get": ("describeModel", _MODEL_IN_PATH, {"200", "500"}),
        "put": (
            "setAutoScale",
            {
                **_MODEL_IN_PATH,
                "min_worker": ("query", "1"),
                "max_worker": ("query", "1"),
                "number_gpu": ("query", "0"),
                "synchronous": ("query", "false"),
                "timeout": ("query", "-1"),
            },
            {"200", "202", "210", "400", "404", "500"},
        ),
        "delete": (
            "unregisterModel",
            {
                **_MODEL_IN_PATH,
                "synchronous": ("query", "false"),
                "timeout": ("query", "-1"),
            },
            {"200", "202", "404", "408", "500"},
        ),
    },
}


def _assert_document(reply: Reply, expected: Operations) -> None:
    """The document has the expected operations; further paths, methods, parameters may follow."""
    assert reply.status == 200
    assert reply.header("content-type") == "application/json"
    document = reply.json()
    assert document["openapi"] == "3.0.1"
    assert document["info"]["title"] == "Model Server APIs"
    assert document["info"]["version"] == "1.0.0"
    assert document["info"]["description"]
    for path, methods in expected.items():
        for method, (operation_id, parameters, codes) in methods.items():
            operation = document["paths"][path][method]
            assert operation["operationId"] == operation_id
            shown = {
                entry["name"]: (entry["in"], entry["schema"].get("default"))
                for entry in operation["parameters"]
            }
            assert parameters.items() <= shown.items(), (path, method)
            assert codes <= set(operation["responses"]), (path, method)


def _assert_error_schema(schema: dict[str, Any]) -> None:
    assert schema["type"] == ERROR_SCHEMA["type"]
    assert schema["required"] == ERROR_SCHEMA["required"]
    assert {name: value["type"] for name, value in schema["properties"].items()} == ERROR_SCHEMA[
        "properties"
    ]


@pytest.mark.edge
def test_ping_says_healthy_and_has_a_request_id(server: Server) -> None:
    reply = server.inference.get("/ping")
    assert reply.status == 200
    assert reply.json() == {"status": "Healthy"}
    assert reply.header("content-type") == "application/json"
    request_id = reply.header("x-request-id")
    assert request_id is not None
    assert UUID4.fullmatch(request_id)


@pytest.mark.edge
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_ping_answers_any_method(server: Server, method: str) -> None:
    reply = server.inference.request(method, "/ping")
    assert (reply.status, reply.json()) == (200, {"status": "Healthy"})


@pytest.mark.edge
@pytest.mark.parametrize("path", ["/ping/", "/ping/anything", "/ping?x=1", "/%70ing"])
def test_ping_is_found_by_its_first_segment(server: Server, path: str) -> None:
    assert server.inference.get(path).json() == {"status": "Healthy"}


def test_options_on_the_root_of_the_inference_listener_describes_its_api(server: Server) -> None:
    reply = server.inference.options("/")
    _assert_document(reply, DESCRIPTION | INFERENCE)
    assert not set(MANAGEMENT) & set(reply.json()["paths"])


def test_options_on_the_root_of_the_management_listener_describes_its_api(
    main_server: Server,
) -> None:
    reply = main_server.management.options("/")
    _assert_document(reply, DESCRIPTION | MANAGEMENT)
    assert not {"/ping", "/invocations"} & set(reply.json()["paths"])


def test_the_deprecated_description_route_gives_the_same_document(server: Server) -> None:
    expected = server.inference.options("/").json()
    for method in ("GET", "POST", "OPTIONS"):
        reply = server.inference.request(method, "/api-description")
        assert (reply.status, reply.json()) == (200, expected)


def test_the_deprecated_description_route_works_on_the_management_listener(
    main_server: Server,
) -> None:
    expected = main_server.management.options("/").json()
    assert main_server.management.get("/api-description").json() == expected


def test_the_deprecated_operations_are_marked(server: Server) -> None:
    paths = server.inference.options("/").json()["paths"]
    assert paths["/{model_name}/predict"]["post"]["deprecated"] is True
    assert paths["/api-description"]["get"]["deprecated"] is True


def test_the_inference_document_states_its_bodies(server: Server) -> None:
    paths = server.inference.options("/").json()["paths"]
    for path in ("/{model_name}/predict", "/predictions/{model_name}"):
        body = paths[path]["post"]["requestBody"]
        assert body["required"] is True
        assert body["content"]["*/*"]["schema"] == {"type": "string", "format": "binary"}
    for path in ("/invocations", "/models/{model_name}/invoke"):
        schema = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert schema["required"] == ["data"]
        assert schema["properties"]["data"]["format"] == "binary"
        assert schema["properties"]["model_name"]["type"] == "string"


def test_the_documents_state_the_error_body(main_server: Server) -> None:
    document = main_server.management.options("/").json()
    for code in ("400", "404", "409", "500"):
        content = document["paths"]["/models"]["post"]["responses"][code]["content"]
        _assert_error_schema(content["application/json"]["schema"])
    status = document["paths"]["/models"]["post"]["responses"]["202"]["content"]
    schema = status["application/json"]["schema"]
    assert schema["required"] == ["status"]
    assert schema["properties"]["status"]["type"] == "string"


def test_the_runtime_parameter_lists_its_values(main_server: Server) -> None:
    document = main_server.management.options("/").json()
    parameters = document["paths"]["/models"]["post"]["parameters"]
    runtime = next(entry for entry in parameters if entry["name"] == "runtime")
    assert runtime["schema"]["enum"] == ["PYTHON", "PYTHON2", "PYTHON3"]
    url = next(entry for entry in parameters if entry["name"] == "model_url")
    assert url["required"] is True


@pytest.mark.edge
@pytest.mark.parametrize(
    "path",
    ["/predictions/{}", "/predictions/{}/1.0", "/models/{}/invoke", "/{}/predict"],
)
def test_options_on_a_prediction_route_describes_the_model(server: Server, path: str) -> None:
    reply = server.inference.options(path.format("noop"))
    assert reply.status == 200
    document = reply.json()
    assert document["openapi"] == "3.0.1"
    assert document["info"] == {"title": "RESTful API for: noop", "version": "1.0.0"}
    assert list(document["paths"]) == ["/prediction/noop"]
    post = document["paths"]["/prediction/noop"]["post"]
    assert post["description"] == "A predict entry point for model: noop."
    assert post["operationId"] == "noop"
    assert post["parameters"] == []
    assert post["responses"]["200"] == {"description": "OK"}
    failure = post["responses"]["500"]
    assert failure["description"] == "Internal Server Error"
    _assert_error_schema(failure["content"]["application/json"]["schema"])


@pytest.mark.edge
def test_options_on_invocations_describes_the_chosen_model(server: Server) -> None:
    document = server.inference.options("/invocations?model_name=noop").json()
    assert document["info"]["title"] == "RESTful API for: noop"


def test_options_describes_a_legacy_model_under_its_own_name(server: Server) -> None:
    with server.registered("noop-v0.1", initial_workers=0) as name:
        document = server.inference.options(f"/predictions/{name}").json()
    assert document["info"]["title"] == f"RESTful API for: {name}"
    assert list(document["paths"]) == [f"/prediction/{name}"]


@pytest.mark.edge
def test_options_on_an_unknown_model_is_404(server: Server) -> None:
    reply = server.inference.options("/predictions/InvalidModel")
    assert (reply.status, reply.json()) == (
        404,
        {
            "code": 404,
            "type": "ModelNotFoundException",
            "message": "Model not found: InvalidModel",
        },
    )


@pytest.mark.edge
def test_a_combined_listener_serves_both_apis_and_their_joined_document(combined: Server) -> None:
    _assert_document(combined.inference.options("/"), DESCRIPTION | INFERENCE | MANAGEMENT)
    assert combined.inference.get("/ping").json() == {"status": "Healthy"}
    listed = combined.inference.get("/models").json()["models"]
    assert "noop" in [model["modelName"] for model in listed]
    assert combined.inference.get("/models/noop").status == 200
    reply = combined.inference.post("/models/noop/invoke", b"x")
    assert (reply.status, reply.body) == (200, b"OK")


@pytest.mark.edge
@pytest.mark.parametrize("path", ["/models", "/models/noop"])
def test_the_inference_listener_does_not_serve_management(server: Server, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        reply = server.inference.request(method, path)
        assert reply.status == 404
        assert reply.json()["type"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ping"),
        ("POST", "/models/noop/invoke"),
        ("POST", "/predictions/noop"),
        ("POST", "/invocations?model_name=noop"),
    ],
)
def test_the_management_listener_does_not_serve_inference(
    main_server: Server, method: str, path: str
) -> None:
    reply = main_server.management.request(method, path)
    assert reply.status == 404
    assert reply.json()["type"] == "ResourceNotFoundException"


@pytest.mark.better_than_mms
def test_a_strict_ping_is_503_until_every_worker_has_loaded(
    start_server: Callable[..., Server], lane: str
) -> None:
    server = start_server({"strict_ping": "true", "lane": lane.removeprefix("lane=")})
    assert server.inference.get("/ping").status == 200
    gate = server.directory / "gate"
    server.write_model(
        "slow",
        "import os, time\n"
        "def handle(data, context):\n"
        f"    while not os.path.exists({str(gate)!r}):\n"
        "        time.sleep(0.005)\n"
        "    return ['OK'] * len(data or [1])\n",
        manifest("slow"),
    )
    assert server.register("slow", initial_workers=1, synchronous="false").status == 202
    reply = server.inference.get("/ping")
    assert (reply.status, reply.json()["status"]) == (503, "Unhealthy")
    with server.registered("noop"):
        reply = server.inference.get("/ping")
        assert (reply.status, reply.json()["status"]) == (503, "Partial Healthy")
    gate.touch()
    eventually("it is healthy", lambda: server.inference.get("/ping").status == 200)
