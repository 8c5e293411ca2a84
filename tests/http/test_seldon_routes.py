"""Seldon's REST routes in front of a host that the test plays, with the lane on and off."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from support.processes import free_port

from mms.errors import ServiceUnavailable
from mms.settings import Address
from mms.wire import GraphNode, ModelOperation

CALLS = ("predict", "transform-input", "transform-output", "route", "aggregate", "send-feedback")
BASES = ("", "/seldon/c", "/seldon/space/c")
GATEWAY = {"predictions": "predict", "feedback": "send-feedback"}
HEADER = "Content-Type: application/json"


def header(head: bytes, name: str) -> str | None:
    values = [
        value.strip()
        for key, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
        if key.lower() == name.lower()
    ]
    assert len(values) < 2, f"{name}: {values}"
    return values[0] if values else None


def error_of(body: bytes) -> dict[str, Any]:
    assert body.endswith(b"\n")
    status = json.loads(body)["status"]
    assert sorted(status) == ["code", "info", "reason", "status"]
    assert (status["code"], status["status"]) == (-1, 1)
    return status  # type: ignore[no-any-return]


def operation_of(request) -> str:
    return request.operation.name


@pytest.fixture
def component(bench):
    """A bench with one Seldon component, `c`, beside a model of MMS's interface."""
    bench.host.change_interfaces(m="mms", c="seldon")
    return bench


async def test_an_internal_route_asks_the_component_for_its_operation(component):
    for base, method, call in itertools.product(BASES, ("GET", "POST"), CALLS):
        path = f"{base}/{call}"
        status, _, body = await component.call(method, f"{path}?json=%7B%7D", b"{}", HEADER)
        assert (status, body) == (200, b"{}"), path
        request = component.host.requests.pop()
        assert not component.host.requests, path
        assert (request.name, operation_of(request)) == ("c", call), path
        assert (request.query, request.passes_query) == (b"json=%7B%7D", True), path
        assert request.content_type == b"application/json", path


async def test_an_api_route_asks_the_component_for_its_operation(component):
    for base, version, word in itertools.product(BASES, ("v0.1", "v1.0"), (*GATEWAY, *CALLS)):
        path = f"{base}/api/{version}/{word}"
        status, _, _ = await component.call("POST", path, b"{}", HEADER)
        assert status == 200, path
        assert operation_of(component.host.requests.pop()) == GATEWAY.get(word, word), path


async def test_health_and_metadata_are_asked_of_the_component(component):
    operations = {
        "/health/status": "health-status",
        "/api/v1.0/health/status": "health-status",
        "/metadata": "metadata",
        "/api/v1.0/metadata": "metadata",
        "/api/v0.1/metadata/c": "metadata",
        "/api/v1.0/status/c": "health-status",
    }
    for base, (path, operation) in itertools.product(BASES, operations.items()):
        assert (await component.call("GET", base + path))[0] == 200, path
        assert operation_of(component.host.requests.pop()) == operation, path
        assert (await component.call("POST", base + path))[0] == 405, path


async def test_a_node_that_is_not_there_is_404_with_its_name(component):
    status, _, body = await component.call("GET", "/api/v1.0/metadata/other")
    assert status == 404
    assert "no node other" in error_of(body)["info"]


@pytest.mark.parametrize("word", ["metadata", "status"])
async def test_a_graph_is_asked_for_its_node_by_name(component, word):
    component.host.graphs = {"c"}
    assert (await component.call("GET", f"/api/v1.0/{word}/other"))[0] == 200
    operation = {"metadata": "metadata", "status": "health-status"}[word]
    wanted = ModelOperation(operation, node=GraphNode("other"))
    assert component.host.requests[0].operation == wanted


async def test_the_client_s_own_headers_reach_the_component(component):
    await component.call("POST", "/predict", b"{}", "X-Mine: 1")
    assert component.host.requests[0].headers.startswith(b"Host\nh\n")
    assert b"\nX-Mine\n1" in component.host.requests[0].headers


async def test_no_operation_is_named_where_mms_s_own_route_asks_a_component(component):
    assert (await component.call("POST", "/predictions/c", b"{}", HEADER))[0] == 200
    (request,) = component.host.requests
    assert request.operation is None
    assert not request.passes_query


# Which model is at the root


async def test_nothing_is_at_the_root_without_a_component(bench):
    status, head, body = await bench.call("POST", "/predict", b"{}")
    assert status == 404
    assert json.loads(body)["type"] == "ResourceNotFoundException"
    assert header(head, "Access-Control-Allow-Origin") is None


async def test_the_root_follows_the_models_that_come_and_go(bench):
    async def status() -> int:
        return (await bench.call("POST", "/predict", b"{}"))[0]

    assert await status() == 404
    bench.host.change_interfaces(c="seldon")
    assert await status() == 200
    bench.host.change_interfaces(c="seldon", d="seldon")
    assert await status() == 404
    bench.host.change_interfaces(d="seldon")
    assert await status() == 200
    assert [request.name for request in bench.host.requests] == ["c", "d"]


@pytest.mark.parametrize("lane", [True, False])
async def test_the_root_of_an_open_connection_follows_too(make_bench, lane):
    bench = await make_bench(lane=lane)
    reader, writer = await bench.connect()
    names = []
    for name in ("c", "d"):
        bench.host.change_interfaces(**{name: "seldon"})
        writer.write(b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
        await reader.readuntil(b"\r\n\r\nx")
        names.append(bench.host.requests[-1].name)
    writer.close()
    assert names == ["c", "d"]


@pytest.mark.parametrize(
    "path", ["/predict", "/api/v1.0/predictions", "/seldon/c/api/v0.1/feedback"]
)
async def test_the_lane_itself_serves_calls(make_bench, path):
    bench = await make_bench(lane=True)
    bench.host.change_interfaces(c="seldon")
    reader, writer = await bench.connect()
    writer.write(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx".encode())
    await reader.readuntil(b"\r\n\r\nx")
    (listener,) = bench.front._listeners
    assert (len(listener.lane.connections), len(listener.web.connections)) == (1, 0)
    writer.close()


async def test_the_default_model_is_at_the_root_whatever_else_there_is(make_bench):
    bench = await make_bench(default_model="d")
    bench.host.change_interfaces(c="seldon", d="seldon")
    assert (await bench.call("POST", "/api/v1.0/predictions", b"{}"))[0] == 200
    assert bench.host.requests[0].name == "d"
    bench.host.change_interfaces(c="seldon", d="mms")
    assert (await bench.call("POST", "/api/v1.0/predictions", b"{}"))[0] == 404


async def test_a_model_that_no_worker_has_loaded_yet_is_503(make_bench):
    bench = await make_bench(default_model="c")
    bench.host.change_interfaces(c="auto")
    status, head, body = await bench.call("POST", "/predict", b"{}")
    assert (status, error_of(body)["reason"]) == (503, "ServiceUnavailableException")
    assert header(head, "Retry-After") == "1"
    bench.host.change_interfaces(c="seldon")
    assert (await bench.call("POST", "/predict", b"{}"))[0] == 200


async def test_a_model_of_another_interface_says_where_it_is_served(component):
    status, _, body = await component.call("POST", "/seldon/m/api/v1.0/predictions", b"{}")
    assert status == 404
    assert "/predictions/m" in error_of(body)["info"]
    assert component.host.requests == []


async def test_mms_s_routes_keep_their_meaning_beside_a_component(component):
    assert json.loads((await component.call("GET", "/ping"))[2]) == {"status": "Healthy"}
    assert "paths" in json.loads((await component.call("OPTIONS", "/"))[2])
    assert (await component.call("GET", "/models/m"))[0] == 200
    status, head, body = await component.call("POST", "/nothing/here", b"{}")
    assert (status, json.loads(body)["code"]) == (404, 404)
    assert header(head, "Access-Control-Allow-Origin") is None
    component.host.change_interfaces(seldon="mms")
    assert (await component.call("POST", "/seldon/predict", b"{}"))[0] == 200
    assert not component.host.requests[0].headers.startswith(b":")


# What the server answers itself


@pytest.mark.parametrize("base", BASES)
async def test_probes_are_answered_without_the_component(component, base):
    status, head, body = await component.call("GET", f"{base}/health/ping")
    assert (status, body) == (200, b"pong")
    assert header(head, "Content-Type") == "text/html; charset=utf-8"
    assert (await component.call("GET", f"{base}/live"))[0] == 200
    for path in ("/ready", "/api/v1.0/status", "/api/v0.1/status"):
        component.host.ready = True
        assert (await component.call("GET", base + path))[0] == 200
        component.host.ready = False
        status, _, body = await component.call("GET", base + path)
        assert (status, error_of(body)["reason"]) == (503, "ServiceUnavailableException")
    assert component.host.requests == []


@pytest.mark.parametrize("path", ["/seldon.json", "/api/v1.0/doc/seldon.json"])
async def test_the_openapi_document_has_the_internal_calls(component, path):
    status, head, body = await component.call("GET", f"/seldon/c{path}")
    assert (status, header(head, "Content-Type")) == (200, "application/json")
    document = json.loads(body)
    assert document["info"] == {"title": "Seldon External API", "version": "0.1"}
    assert {f"/{call}" for call in CALLS} <= set(document["paths"])
    assert document["servers"] == [{"url": "/seldon/c"}]


@pytest.mark.parametrize("path", ["/api/v1.0/doc/", "/api/v0.1/doc"])
async def test_a_page_shows_the_document(component, path):
    status, head, body = await component.call("GET", path)
    assert (status, header(head, "Content-Type")) == (200, "text/html; charset=utf-8")
    assert b"/api/v1.0/predictions" in body


async def test_head_is_served_where_get_is(component):
    status, head, body = await component.call("HEAD", "/health/ping")
    assert (status, header(head, "Content-Length"), body) == (200, "4", b"")
    assert (await component.call("HEAD", "/api/v1.0/predictions"))[0] == 405


# CORS


async def test_any_origin_may_read_every_answer(component):
    for method, path in (("POST", "/predict"), ("GET", "/health/ping"), ("GET", "/seldon/c/nope")):
        _, head, _ = await component.call(method, path)
        assert header(head, "Access-Control-Allow-Origin") == "*", path


async def test_a_preflight_is_answered_with_what_is_allowed(component):
    status, head, _ = await component.call(
        "OPTIONS", "/predict", b"", "Origin: http://x", "Access-Control-Request-Headers: x-mine"
    )
    assert status == 200
    assert header(head, "Allow") == "GET, HEAD, OPTIONS, POST"
    assert header(head, "Access-Control-Allow-Methods") == "GET, HEAD, OPTIONS, POST"
    assert header(head, "Access-Control-Allow-Headers") == "x-mine"
    assert header(head, "Access-Control-Allow-Origin") == "*"
    _, head, _ = await component.call("OPTIONS", "/api/v1.0/feedback")
    assert header(head, "Allow") == "OPTIONS, POST"


@pytest.mark.parametrize("lane", [True, False])
async def test_a_configured_origin_takes_the_place_of_any(make_bench, lane):
    bench = await make_bench(lane=lane, cors_allowed_origin="https://example.org")
    bench.host.change_interfaces(c="seldon")
    _, head, _ = await bench.call("POST", "/predict", b"{}")
    assert header(head, "Access-Control-Allow-Origin") == "https://example.org"


# The prediction's id


@pytest.mark.parametrize("base", ["", "/seldon/space/c"])
@pytest.mark.parametrize("word", GATEWAY)
async def test_the_gateway_s_routes_name_the_prediction(component, base, word):
    path = f"{base}/api/v1.0/{word}"
    _, head, _ = await component.call("POST", path, b"{}", "sELDON-pUID: mine")
    assert header(head, "Seldon-Puid") == "mine"
    _, head, _ = await component.call("POST", path, b"{}")
    generated = header(head, "Seldon-Puid")
    assert generated is not None
    assert len(generated) == 36
    assert generated == header(head, "X-Request-Id")
    assert header(head, "X-Content-Type-Options") == "nosniff"


async def test_an_internal_route_does_not_name_it(component):
    _, head, _ = await component.call("POST", "/predict", b"{}", "Seldon-Puid: mine")
    assert header(head, "Seldon-Puid") is None


async def test_an_error_names_the_prediction_too(component):
    def refuse(request):
        raise ServiceUnavailable("full")

    component.host.on_submit = refuse
    _, head, _ = await component.call("POST", "/api/v0.1/predictions", b"{}", "Seldon-Puid: mine")
    assert header(head, "Seldon-Puid") == "mine"


async def test_a_cloud_event_gets_the_headers_of_one(component):
    path = "/seldon/space/c/api/v1.0/predictions"
    _, head, _ = await component.call(
        "POST", path, b"{}", "Ce-Specversion: 0.3", "Seldon-Puid: mine"
    )
    found = {name: header(head, f"Ce-{name}") for name in ("Id", "Source", "Type", "Path")}
    assert found == {
        "Id": "mine",
        "Source": "seldon.c",
        "Type": "seldon.c.space.response",
        "Path": path,
    }
    _, head, _ = await component.call("POST", path, b"{}")
    assert header(head, "Ce-Id") is None


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1.0/predictions", 405),
        ("DELETE", "/predict", 405),
        ("POST", "/health/ping", 405),
        ("POST", "/api/v1.0/nothing", 404),
        ("POST", "/seldon/c/nothing", 404),
        ("POST", "/seldon/space/c/nothing", 404),
        ("POST", "/seldon/unknown/predict", 404),
    ],
)
async def test_what_seldon_does_not_have_is_told_in_its_own_form(component, method, path, status):
    got, _, body = await component.call(method, path, b"{}")
    assert got == status
    assert error_of(body)["info"]
    assert component.host.requests == []


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/api/v1.0/nothing", "404 Not Found: "),
        ("POST", "/seldon/c/predict/", "404 Not Found: "),
        ("GET", "/api/v1.0/predictions", "405 Method Not Allowed: "),
    ],
)
@pytest.mark.parametrize("lane", [True, False])
async def test_strict_mode_makes_these_500_as_the_wrapper_does(
    make_bench, lane, method, path, words
):
    bench = await make_bench(lane=lane, seldon_strict=True)
    bench.host.change_interfaces(c="seldon")
    status, _, body = await bench.call(method, path, b"{}")
    assert status == 500
    assert error_of(body)["reason"] == "MICROSERVICE_INTERNAL_ERROR"
    assert error_of(body)["info"].startswith(words)


async def test_an_error_of_the_front_has_seldon_s_form(component):
    def refuse(request):
        raise ServiceUnavailable("the queue is full", retry_after_s=3)

    component.host.on_submit = refuse
    status, head, body = await component.call("POST", "/predict", b"{}")
    assert status == 503
    assert error_of(body)["reason"] == "ServiceUnavailableException"
    assert error_of(body)["info"] == "the queue is full"
    assert header(head, "Retry-After") == "3"
    assert header(head, "Access-Control-Allow-Origin") == "*"


@pytest.mark.parametrize("lane", [True, False])
async def test_a_body_that_is_too_large_is_told_in_seldon_s_form(make_bench, lane):
    bench = await make_bench(lane=lane, max_request_size=10)
    bench.host.change_interfaces(c="seldon")
    status, _, body = await bench.call("POST", "/predict", b"{}" * 10)
    assert (status, error_of(body)["reason"]) == (413, "RequestEntityTooLargeException")


async def test_an_error_of_the_component_passes_as_it_is(component):
    body = b'{"status":{"code":-1,"info":"x","reason":"MICROSERVICE_BAD_DATA","status":1}}\n'
    component.host.on_submit = lambda request: request.answer(
        409, b"", b"Content-Type: application/json\r\n", body
    )
    status, _, got = await component.call("POST", "/predict", b"{}")
    assert (status, got) == (409, body)


# Listeners of their own


@pytest.mark.parametrize("lane", [True, False])
async def test_a_listener_of_seldon_s_own_has_nothing_else(make_bench, lane):
    port = free_port()
    bench = await make_bench(lane=lane, seldon_address=Address("http", "127.0.0.1", port))
    bench.port = port
    status, _, body = await bench.call("POST", "/predict", b"{}")
    assert status == 404
    assert "default_model" in error_of(body)["info"]
    assert (await bench.call("GET", "/live"))[0] == 200
    assert (await bench.call("GET", "/ready"))[0] == 503
    bench.host.change_interfaces(c="seldon", m="mms")
    assert (await bench.call("POST", "/predict", b"{}"))[0] == 200
    for method, path in (("GET", "/ping"), ("POST", "/predictions/m"), ("OPTIONS", "/")):
        status, _, body = await bench.call(method, path)
        assert status == 404, path
        assert error_of(body)["info"]
    assert len(bench.host.requests) == 1


async def test_a_listener_for_metrics_has_them_on_both_paths_and_one_to_choose(make_bench):
    port = free_port()
    bench = await make_bench(
        seldon_metrics_address=Address("http", "127.0.0.1", port),
        seldon_metrics_path="/metrics-endpoint",
    )
    assert (await bench.call("GET", "/prometheus"))[2] == b"metrics\n"
    bench.port = port
    for path in ("/metrics", "/prometheus", "/metrics-endpoint"):
        assert (await bench.call("GET", path))[2] == b"metrics\n"
    for path in ("/ping", "/models"):
        assert (await bench.call("GET", path))[0] == 404
    assert b"/metrics" in (await bench.call("OPTIONS", "/"))[2]


async def test_one_address_for_seldon_and_metrics_is_one_listener(make_bench):
    port = free_port()
    address = Address("http", "127.0.0.1", port)
    bench = await make_bench(seldon_address=address, seldon_metrics_address=address)
    bench.host.change_interfaces(c="seldon")
    bench.port = port
    assert (await bench.call("GET", "/metrics"))[2] == b"metrics\n"
    assert (await bench.call("POST", "/predict", b"{}"))[0] == 200


# Paths


@pytest.mark.parametrize(
    ("path", "model", "interface"),
    [
        ("/seldon/a/predict", "a", "seldon"),
        ("/seldon/n/a/predict", "a", "seldon"),
        ("/seldon/n/predict/predict", "predict", "seldon"),
        ("/seldon/a/api/v1.0/predictions", "a", "seldon"),
        ("/seldon/predict", "seldon", "mms"),
        ("/predictions/seldon/predict", "seldon", "mms"),
    ],
)
async def test_a_namespace_and_a_model_are_told_apart_by_what_follows(
    bench, path, model, interface
):
    bench.host.change_interfaces(**{model: interface})
    assert (await bench.call("POST", path, b"{}"))[0] == 200
    assert bench.host.requests[0].name == model
    assert (bench.host.requests[0].operation is not None) is (interface == "seldon")
