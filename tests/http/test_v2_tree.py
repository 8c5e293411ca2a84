"""Paths below `/v2`, and which model is at the root."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from mms.interfaces.mlrun.front.router import MlrunRouter
from mms.interfaces.mlrun.front.v2.routes import V2Kind, V2Path, find_v2
from mms.wire import ModelOperation

R4 = ("m1", "m2", "m3:v1", "m3:v2")


async def learn_nothing() -> None:
    """The model is not loaded on demand."""


def served(key: str, interface: str = "mlrun", **more: Any) -> Any:
    name, _, version = key.partition(":")
    return SimpleNamespace(
        name=name,
        version=version or None,
        interface=interface,
        is_ready=True,
        is_composite=False,
        takes_tensors=True,
        reads_paths=False,
        is_wanted=True,
        has_failed_to_load=False,
        load_failure=None,
        learn_interface=learn_nothing,
        **more,
    )


def add(bench: Any, *keys: str, interface: str = "mlrun", **more: Any) -> list[Any]:
    """Register models."""
    models = [served(key, interface) for key in keys]
    for model in models:
        vars(model).update(more)
        bench.host.interfaces[model.name] = interface
        bench.host.registry.add(model)
    return models


def asked(bench: Any) -> tuple[str, str | None, ModelOperation | None]:
    """(model, version, operation) of the last request."""
    request = bench.host.requests[-1]
    return request.name, request.version, request.operation


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("v2/models", V2Path(V2Kind.MODELS)),
        ("v2/models/m", V2Path(V2Kind.MODEL, "m", "")),
        ("v2/models/m/infer", V2Path(V2Kind.MODEL, "m", "infer")),
        ("v2/models/m/a/b", V2Path(V2Kind.MODEL, "m", "a/b")),
        ("v2/models/m/versions", V2Path(V2Kind.MODEL, "m", "versions")),
        ("v2/models/m/versions/v1", V2Path(V2Kind.MODEL, "m:v1", "")),
        ("v2/models/m/versions/v1/x", V2Path(V2Kind.MODEL, "m:v1", "x")),
        ("v2/models/m:v1/x", V2Path(V2Kind.MODEL, "m:v1", "x")),
        ("v2/models//m/x", V2Path(V2Kind.MODEL, "m", "x")),
        ("v2/health", V2Path(V2Kind.HEALTH)),
        ("v2/health/live", V2Path(V2Kind.LIVE)),
        ("v2/health/ready", V2Path(V2Kind.READY)),
        ("v2/predict", None),
        ("v2", None),
        ("predictions/v2", None),
    ],
)
def test_a_path_has_one_meaning(path: str, meaning: V2Path | None) -> None:
    assert find_v2(path.split("/")) == meaning


@pytest.mark.parametrize(
    ("path", "model", "version", "operation"),
    [
        ("/v2/models/m1/infer", "m1", None, "infer"),
        ("/v2/models/m3/versions/v2/explain", "m3", "v2", "explain"),
        ("/v2/models/m3:v1/infer", "m3", "v1", "infer"),
        ("/v2/models/m%31/infer/", "m1", None, "infer"),
        ("/v2/models/m1", "m1", None, ""),
        ("/v2/models/m3/infer", "m3", None, "infer"),
    ],
)
async def test_a_request_reaches_its_model_and_version_with_operation_and_method(
    bench: Any, path: str, model: str, version: str | None, operation: str
) -> None:
    add(bench, *R4)
    status, _, body = await bench.call("POST", path, b'{"inputs":[5]}', "X-Own: 1")
    assert (status, body) == (200, b'{"inputs":[5]}')
    assert asked(bench) == (model, version, ModelOperation(operation))
    assert b"X-Own\n1" in bench.host.requests[-1].headers


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods_reach_the_model_too(bench: Any, method: str) -> None:
    add(bench, "m1")
    await bench.call(method, "/v2/models/m1/myop")
    assert asked(bench)[2] == ModelOperation("myop", method)


async def test_head_is_served_as_get(bench: Any) -> None:
    add(bench, "m1")
    status, _, body = await bench.call("HEAD", "/v2/models/m1")
    assert (status, body, asked(bench)[2]) == (200, b"", ModelOperation("", "GET"))


async def test_a_line_feed_is_part_of_the_operation_and_of_nothing_else(bench: Any) -> None:
    add(bench, "m1")
    for method in ("GET", "POST"):
        await bench.call(method, "/v2/models/m1/x%0A:method%0APUT")
        assert asked(bench)[2] == ModelOperation("x\n:method\nPUT", method)


async def test_the_list_has_all_of_mlrun_s_models_in_the_order_of_registration(
    bench: Any,
) -> None:
    add(bench, "noop", interface="mms")
    add(bench, "z", "m3:v1", "a", "m3:v2")
    for path in ("/v2/models", "/v2/models/"):
        status, _, body = await bench.call("GET", path)
        assert (status, json.loads(body)) == (200, {"models": ["z", "m3:v1", "m3:v2", "a"]})


async def test_the_list_is_empty_without_models(bench: Any) -> None:
    status, _, body = await bench.call("GET", "/v2/models")
    assert (status, json.loads(body)) == (200, {"models": []})


@pytest.mark.parametrize(("is_strict", "wanted"), [(False, 400), (True, 404)])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_model_is_told_with_those_that_there_are(
    make_bench: Any, is_strict: bool, wanted: int, method: str
) -> None:
    bench = await make_bench(strict_status=is_strict)
    add(bench, *R4)
    status, head, body = await bench.call(method, "/v2/models/m5/xx")
    text = b"ValueError: model m5 doesnt exist, available models: m1 | m2 | m3:v1 | m3:v2"
    assert (status, body) == (wanted, text)
    assert b"content-type: text/plain\r\n" in head


@pytest.mark.parametrize("interfaces", [(), ("mms",), ("mms", "mlrun")])
async def test_an_unknown_model_beside_others_is_not_told_in_mlrun_s_words(
    bench: Any, interfaces: tuple[str, ...]
) -> None:
    for interface in interfaces:
        add(bench, interface, interface=interface)
    for path in ("infer", "ready", "other"):
        status, _, body = await bench.call("POST", f"/v2/models/x/{path}")
        assert status == (405 if path == "ready" else 404)
        assert list(json.loads(body)) == ["error"]


async def test_a_model_of_another_interface_is_asked_in_its_own_protocol(bench: Any) -> None:
    add(bench, "noop", interface="mms")
    add(bench, "m1")
    await bench.call("POST", "/v2/models/noop/infer")
    assert asked(bench) == ("noop", None, ModelOperation("infer", protocol="oip-json"))
    await bench.call("POST", "/v2/models/m1/infer")
    assert asked(bench) == ("m1", None, ModelOperation("infer"))


async def test_a_model_that_no_worker_has_loaded_is_not_ready(bench: Any) -> None:
    add(bench, "m1")
    add(bench, "m2", interface="auto", is_ready=False)
    status, _, body = await bench.call("POST", "/v2/models/m2/infer")
    assert (status, body) == (400, b"RuntimeError: model m2 is not ready yet")
    status, _, body = await bench.call("GET", "/v2/models/m2/ready")
    assert (status, body) == (408, b"model not ready")


async def test_strictly_a_model_that_is_not_ready_is_unavailable(make_bench: Any) -> None:
    bench = await make_bench(strict_status=True)
    add(bench, "m1", is_ready=False)
    add(bench, "m2", interface="auto", is_ready=False)
    for method, path, seconds in (("GET", "m1/ready", b"5"), ("POST", "m2/infer", b"5")):
        status, head, _ = await bench.call(method, f"/v2/models/{path}")
        assert status == 503
        assert b"retry-after: %b\r\n" % seconds in head.lower()


async def test_ready_names_the_model_and_the_event(bench: Any) -> None:
    add(bench, *R4)
    _, _, body = await bench.call("GET", "/v2/models/m1/ready", b"", "mlrun-event-id: E")
    assert body == b"Model m1 is ready (event_id = E)"
    _, head, body = await bench.call("GET", "/v2/models/m3/versions/v1/ready")
    request_id = head.lower().split(b"x-request-id: ")[1].split(b"\r\n")[0]
    assert body == b"Model m3 is ready (event_id = %b)" % request_id
    assert bench.host.requests == []


async def test_post_ready_is_the_model_s_to_refuse(bench: Any) -> None:
    add(bench, "m1")
    await bench.call("POST", "/v2/models/m1/ready")
    assert asked(bench)[2] == ModelOperation("ready")


@pytest.mark.parametrize("path", ["/v2/health", "/v2/health/x"])
async def test_health_is_always_well(bench: Any, path: str) -> None:
    add(bench, "m1", is_ready=False)
    status, head, body = await bench.call("GET", path)
    assert (status, body) == (200, b'{"name":"ModelRouter","version":"v2","extensions":[]}')
    assert b"content-type: application/json\r\n" in head


async def test_ready_health_waits_for_all_models_that_have_workers(bench: Any) -> None:
    (model,) = add(bench, "m1", is_ready=False)
    status, head, body = await bench.call("GET", "/v2/health/ready")
    assert (status, body) == (503, b"ServiceUnavailable: model m1 is not ready yet")
    assert b"retry-after: 1\r\n" in head.lower()
    model.is_wanted = False
    assert (await bench.call("GET", "/v2/health/ready"))[0] == 200
    model.is_wanted = True
    model.is_ready = True
    assert (await bench.call("GET", "/v2/health/ready"))[0] == 200


# The root


async def test_a_body_at_the_root_names_its_model(bench: Any) -> None:
    add(bench, *R4)
    body = b'{"model": "m3:v2", "operation": "explain", "inputs": [5]}'
    status, _, echoed = await bench.call("POST", "/", body)
    assert (status, echoed) == (200, body)
    assert asked(bench) == ("m3", "v2", ModelOperation())


async def test_a_body_without_a_model_is_the_first_one_s(bench: Any) -> None:
    add(bench, "b", "a")
    for body in (b'{"inputs":[5]}', b"\x89PNG", b'["model"]', b'{"model":""}', b""):
        await bench.call("POST", "/", body)
        assert asked(bench)[0] == "b"


async def test_a_body_behind_the_models_path_names_its_model_or_lists_them(bench: Any) -> None:
    add(bench, "m1", "m2")
    await bench.call("POST", "/v2/models", b'{"model":"m2","inputs":[1]}')
    assert asked(bench)[0] == "m2"
    status, _, body = await bench.call("POST", "/v2/models/", b'{"inputs":[1]}')
    assert (status, json.loads(body)) == (200, {"models": ["m1", "m2"]})


async def test_the_path_s_model_beats_the_body_s(bench: Any) -> None:
    add(bench, "m1", "m2")
    await bench.call("POST", "/v2/models/m1/infer", b'{"model":"m2"}')
    assert asked(bench)[0] == "m1"


async def test_a_body_that_is_nested_too_deep_to_find_its_model_is_refused(bench: Any) -> None:
    add(bench, "m1")
    body = b'{"inputs":' + b"[" * 50_000 + b"]" * 50_000 + b',"model":"m1"}'
    status, _, text = await bench.call("POST", "/v2/models", body)
    assert status == 400
    assert b"nested too deep" in text


async def test_an_unknown_model_in_the_body_is_told(bench: Any) -> None:
    add(bench, "m1")
    status, _, body = await bench.call("POST", "/", b'{"model":"m9"}')
    assert (status, body) == (400, b"ValueError: model m9 doesnt exist, available models: m1")
    status, _, body = await bench.call("POST", "/", b'{"model":5}')
    assert (status, body) == (400, b"BadRequest: the body's model must be a text, not int.")


async def test_the_root_tells_what_serves_where_all_models_are_mlrun_s(bench: Any) -> None:
    add(bench, "m1")
    status, _, body = await bench.call("GET", "/")
    assert (status, json.loads(body)["version"]) == (200, "v2")


async def test_options_of_the_root_stays_the_description(bench: Any) -> None:
    add(bench, "m1")
    status, _, body = await bench.call("OPTIONS", "/")
    assert (status, json.loads(body)["openapi"]) == (200, "3.0.1")
    assert "/ping" in json.loads(body)["paths"]


async def test_beside_mms_s_models_the_root_keeps_its_meaning(bench: Any) -> None:
    add(bench, "noop", interface="mms")
    add(bench, "m1", "m2")
    for method in ("GET", "POST"):
        assert (await bench.call(method, "/", b"{}"))[0] == 405


async def test_beside_mms_s_models_the_only_one_of_mlrun_s_takes_bodies_at_the_root(
    bench: Any,
) -> None:
    add(bench, "noop", interface="mms")
    add(bench, "m1")
    assert (await bench.call("POST", "/", b"{}"))[0] == 200
    assert (await bench.call("GET", "/"))[0] == 405


async def test_the_default_model_has_the_root_beside_others(make_bench: Any) -> None:
    bench = await make_bench(default_model="m3:v2")
    add(bench, "noop", interface="mms")
    add(bench, *R4)
    await bench.call("POST", "/", b'{"inputs":[5]}')
    assert asked(bench)[:2] == ("m3", "v2")
    assert (await bench.call("GET", "/"))[0] == 200


async def test_a_default_model_of_mms_leaves_the_root_alone(make_bench: Any) -> None:
    bench = await make_bench(default_model="noop")
    add(bench, "noop", interface="mms")
    add(bench, "m1")
    assert (await bench.call("POST", "/", b"{}"))[0] == 405


async def test_a_wrong_prefix_is_told_where_all_models_are_mlrun_s(bench: Any) -> None:
    add(bench, "m1")
    status, _, body = await bench.call("POST", "/v2/foo")
    text = b"ValueError: illegal path prefix /v2/foo, must start with /v2/models"
    assert (status, body) == (400, text)


async def test_a_model_named_v2_keeps_its_prediction_route(bench: Any) -> None:
    add(bench, "v2", interface="mms")
    await bench.call("POST", "/v2/predict", b"x")
    assert asked(bench) == ("v2", None, None)


# A graph at the root


def add_graph(bench: Any) -> None:
    add(bench, "flow", reads_paths=True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("GET", "/"),
        ("GET", "/ready"),
        ("POST", "/a/b"),
        ("POST", "/v2/models/infer"),
        ("GET", "/v2/models"),
    ],
)
async def test_a_graph_at_the_root_reads_the_path_itself(
    bench: Any, method: str, path: str
) -> None:
    add_graph(bench)
    status, _, _ = await bench.call(method, path, b"{}")
    assert status == 200
    wanted = ModelOperation("", method, path)
    assert asked(bench) == ("flow", None, wanted)


async def test_a_graph_at_the_root_leaves_mms_its_paths(bench: Any) -> None:
    add_graph(bench)
    for path in ("/ping", "/models", "/metrics", "/prometheus", "/api-description", "/v2/health"):
        assert (await bench.call("GET", path))[0] in (200, 405)
    for path in ("/predictions/m1", "/execution-parameters"):
        await bench.call("POST", path)
    assert bench.host.requests == []


@pytest.mark.parametrize("path", ["/ping", "/livez", "/readyz", "/startupz"])
async def test_a_graph_at_the_root_is_not_asked_for_the_servers_health(
    bench: Any, path: str
) -> None:
    add_graph(bench)
    for method in ("GET", "HEAD", "POST"):
        await bench.call(method, path)
    assert bench.host.requests == []


async def test_a_graph_at_the_root_leaves_the_metrics_their_own_path(make_bench: Any) -> None:
    bench = await make_bench(seldon_metrics_path="/numbers")
    add_graph(bench)
    assert (await bench.call("GET", "/numbers"))[2] == b"metrics\n"
    assert bench.host.requests == []


async def test_a_child_is_asked_through_the_graph_at_the_root(bench: Any) -> None:
    add_graph(bench)
    add(bench, "child", "other")
    bench.host.users = {"child": ["flow"], "other": ["another"]}
    await bench.call("POST", "/v2/models/child/infer")
    assert asked(bench)[0] == "flow"
    await bench.call("POST", "/v2/models/other/infer")
    assert asked(bench)[0] == "other"


# A router of the front at the root


class Router(MlrunRouter):
    name = router_class = "VotingEnsemble"
    version, interface, alias = None, "mlrun", ""
    takes_all_bodies = is_named = is_ready = True

    def __init__(self) -> None:
        """It answers nothing itself."""

    def listing(self, keys: list[str]) -> dict[str, Any]:
        return {"models": keys, "weights": None}


def add_router(bench: Any) -> None:
    add(bench, "m1")
    bench.host.interfaces["VotingEnsemble"] = "mlrun"
    bench.host.registry.add(Router())


@pytest.mark.parametrize("path", ["/v2/models/infer", "/v2/models/VotingEnsemble/infer"])
async def test_an_operation_alone_is_the_router_s(bench: Any, path: str) -> None:
    add_router(bench)
    await bench.call("POST", path, b"{}")
    assert asked(bench)[0] == "VotingEnsemble"
    assert asked(bench)[2] == ModelOperation("infer")


async def test_a_model_with_an_operation_s_name_comes_first(bench: Any) -> None:
    add_router(bench)
    add(bench, "infer")
    await bench.call("POST", "/v2/models/infer", b"{}")
    assert asked(bench)[0] == "infer"


async def test_an_ensemble_takes_all_bodies_at_the_root_that_name_its_models(bench: Any) -> None:
    add_router(bench)
    add(bench, "beside")
    bench.host.users = {"m1": ["VotingEnsemble"]}
    await bench.call("POST", "/", b'{"model":"m1"}')
    assert asked(bench)[0] == "VotingEnsemble"
    await bench.call("POST", "/", b'{"model":"beside"}')
    assert asked(bench)[0] == "beside"


async def test_a_router_tells_the_list_and_its_class(bench: Any) -> None:
    add_router(bench)
    _, _, body = await bench.call("GET", "/v2/models/")
    assert json.loads(body) == {"models": ["m1", "VotingEnsemble"], "weights": None}
    _, _, body = await bench.call("GET", "/")
    assert json.loads(body)["name"] == "VotingEnsemble"


async def test_an_unknown_model_beside_a_router_is_told_how_to_ask_the_router(
    bench: Any,
) -> None:
    add_router(bench)
    _, _, body = await bench.call("POST", "/v2/models/m9/infer")
    assert body.endswith(b"m1 | VotingEnsemble or an operation alone for ensemble operation")


# Switches


async def test_the_path_header_counts_only_where_it_is_allowed(make_bench: Any) -> None:
    for is_allowed, wanted in ((False, "m1"), (True, "m2")):
        bench = await make_bench(mlrun_event_headers=is_allowed)
        add(bench, "m1", "m2")
        header = "mlrun-event-path: /v2/models/m2/explain"
        await bench.call("POST", "/v2/models/m1/infer", b"{}", header)
        assert asked(bench)[0] == wanted


async def test_the_path_header_leads_to_no_other_api(make_bench: Any) -> None:
    bench = await make_bench(mlrun_event_headers=True)
    add(bench, "m1")
    status, _, body = await bench.call("POST", "/v2/models/m1/infer", b"{}", "MLRUN-EVENT-PATH: /x")
    assert (status, body[:31]) == (400, b"ValueError: illegal path prefix")


async def test_predictions_keep_to_the_lane(make_bench: Any) -> None:
    bench = await make_bench(lane=True)
    add(bench, "m1")
    for _ in range(2):
        await bench.call("POST", "/v2/models/m1/infer", b"{}")
    route, _ = bench.front._listeners[0].lane.routes[b"/v2/models/m1/infer"]
    assert (route.model, route.methods) == ("m1", frozenset((b"POST",)))


async def test_the_description_of_a_model_names_its_routes(bench: Any) -> None:
    add(bench, *R4)
    status, _, body = await bench.call("OPTIONS", "/v2/models/m3/versions/v1")
    assert status == 200
    assert list(json.loads(body)["paths"])[0] == "/v2/models/m3:v1/infer"
    _, _, body = await bench.call("OPTIONS", "/v2/models")
    assert "/v2/models/{model}/infer" in json.loads(body)["paths"]
