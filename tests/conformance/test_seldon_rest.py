"""What Seldon's Python wrapper promises to REST clients, black box, with the lane on and off."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.client import Part, Reply, multipart
from support.server import Server, ServerPool
from support.waiting import eventually

from .seldon_service import Service, in_wrapper, is_wrapper

pytestmark = pytest.mark.better_than_mms

GetService = Callable[..., Service]

MESSAGE = {"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}}
METRIC = {"key": "mycounter", "type": "COUNTER", "value": 1}
BYTES = b"\x89PNG\r\n\x1a\n\x00\xff" + bytes(range(256))
CALLS = ["/predict", "/transform-input", "/transform-output"]


@pytest.fixture(scope="session")
def wrapped(servers: ServerPool) -> Iterator[GetService]:
    """Components in Seldon's own wrapper, each started once."""
    with ExitStack() as stack:
        known: dict[str, Service] = {}

        def start(component: str, module: str = "components") -> Service:
            if component not in known:
                directory = servers.new_directory()
                directory.mkdir(parents=True)
                known[component] = stack.enter_context(
                    in_wrapper(f"{module}:{component}", directory)
                )
            return known[component]

        yield start


@pytest.fixture
def seldon_server(servers: ServerPool, lane: str) -> Server:
    return servers.get("seldon", lane.removeprefix("lane="))


@pytest.fixture
def service(request: pytest.FixtureRequest) -> GetService:
    """The service of a component by its class's name."""
    if is_wrapper():
        return request.getfixturevalue("wrapped")  # type: ignore[no-any-return]
    server: Server = request.getfixturevalue("seldon_server")

    def of(component: str, module: str = "components") -> Service:
        name = server.shared("seldon", handler=f"{module}:{component}")
        return Service(server.inference, f"/seldon/{name}", server.management)

    return of


@pytest.fixture(autouse=True)
def _both_lanes(request: pytest.FixtureRequest, lane: str) -> None:
    if is_wrapper() and lane != "lane=on":
        pytest.skip("Seldon's wrapper has no lane")


def status_of(reply: Reply) -> dict[str, Any]:
    body = reply.json()["status"]
    assert sorted(body) == ["code", "info", "reason", "status"]
    assert (body["code"], body["status"]) == (-1, 1)
    assert reply.header("Content-Type") == "application/json"
    return body  # type: ignore[no-any-return]


# Model


@pytest.mark.edge
def test_a_get_with_the_message_in_its_query_predicts(service: GetService) -> None:
    reply = service("Identity").ask("/predict", MESSAGE)
    assert reply.status == 200
    assert reply.json() == {
        "data": {"names": ["t:0", "t:1"], "ndarray": [[1, 2]]},
        "meta": {"tags": {"mytag": 1}, "metrics": [METRIC]},
    }


@pytest.mark.edge
@pytest.mark.parametrize("path", ["/predict", "/api/v0.1/predictions", "/api/v1.0/predictions"])
def test_a_post_of_json_predicts(service: GetService, path: str) -> None:
    reply = service("Plain").post(path, MESSAGE)
    assert (reply.status, reply.header("Content-Type")) == (200, "application/json")
    assert reply.body == b'{"data":{"names":["t:0","t:1"],"ndarray":[[2,4]]},"meta":{}}\n'


@pytest.mark.edge
def test_a_form_s_field_json_is_the_message(service: GetService) -> None:
    reply = service("Plain").post_form("/predict", MESSAGE)
    assert (reply.status, reply.json()["data"]["ndarray"]) == (200, [[2, 4]])


@pytest.mark.edge
def test_the_query_beats_a_json_body(service: GetService) -> None:
    plain = service("Plain")
    reply = plain.post(
        "/predict?json=%7B%22data%22%3A%7B%22ndarray%22%3A%5B%5B5%5D%5D%7D%7D", MESSAGE
    )
    assert reply.json()["data"]["ndarray"] == [[10]]


def test_puid_is_echoed(service: GetService) -> None:
    message = MESSAGE | {"meta": {"puid": "123"}}
    assert service("Plain").result(message)["meta"] == {"puid": "123"}


def test_tags_and_metrics_of_the_request_come_before_the_component_s(service: GetService) -> None:
    metric = {"key": "mygauge", "type": "GAUGE", "value": 100}
    message = MESSAGE | {"meta": {"tags": {"foo": "bar"}, "metrics": [metric]}}
    for path in CALLS:
        meta = service("Identity").result(message, path)["meta"]
        assert meta["tags"] == {"foo": "bar", "mytag": 1}
        assert meta["metrics"] == [metric, METRIC]


def test_requestpath_of_earlier_nodes_is_kept(service: GetService) -> None:
    message = MESSAGE | {"meta": {"requestPath": {"earlier": "image:1"}}}
    assert service("Plain").result(message)["meta"]["requestPath"]["earlier"] == "image:1"


@pytest.mark.parametrize("path", CALLS)
def test_a_legacy_hook_s_result_is_sent_as_it_is(service: GetService, path: str) -> None:
    assert service("Legacy").result(MESSAGE, path) == {"data": {"ndarray": [9, 9]}}


@pytest.mark.edge
@pytest.mark.parametrize("path", CALLS)
def test_a_file_of_a_multipart_form_is_bindata(service: GetService, path: str) -> None:
    body, content_type = multipart(
        Part("meta", b'{"puid":"1234"}'),
        Part("binData", BYTES, filename="x.png", content_type="image/png"),
    )
    reply = service("Raw").post_body(path, body, content_type)
    assert reply.status == 200, reply
    assert reply.json() == {
        "meta": {"puid": "1234"},
        "strData": hashlib.sha256(BYTES).hexdigest(),
    }


@pytest.mark.edge
def test_a_file_strdata_of_a_multipart_form_is_text(service: GetService) -> None:
    body, content_type = multipart(Part("strData", "grün".encode(), filename="x.txt"))
    reply = service("WithoutMetrics").post_body("/predict", body, content_type)
    assert reply.json() == {"meta": {}, "strData": "grün"}


@pytest.mark.edge
def test_a_field_data_of_a_multipart_form_is_json(service: GetService) -> None:
    body, content_type = multipart(Part("data", json.dumps(MESSAGE["data"]).encode()))
    reply = service("Plain").post_body("/predict", body, content_type)
    assert reply.json()["data"] == {"names": ["t:0", "t:1"], "ndarray": [[2, 4]]}


@pytest.mark.edge
def test_a_raw_answer_s_status_is_the_http_status(service: GetService) -> None:
    status = service("Status")
    for reply in (status.ask("/predict", MESSAGE), status.post_form("/predict", MESSAGE)):
        assert reply.status == 400
        assert reply.json() == {
            "status": {"code": 400, "info": "mine", "status": 1},
            "strData": "kept",
        }


@pytest.mark.parametrize("path", CALLS)
def test_bindata_strdata_and_jsondata_come_back_in_their_own_form(
    service: GetService, path: str
) -> None:
    identity = service("Identity")
    encoded = base64.b64encode(BYTES).decode()
    assert identity.result({"binData": encoded}, path)["binData"] == encoded
    assert identity.result({"strData": "text"}, path)["strData"] == "text"
    assert identity.result({"jsonData": {"a": [1, None]}}, path)["jsonData"] == {"a": [1, None]}


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("message", [{"binData": "MTIz"}, {"strData": "x"}])
def test_an_array_for_bytes_or_text_is_a_tensor(
    service: GetService, path: str, message: dict[str, str]
) -> None:
    data = service("Array").result(message, path)["data"]
    assert data == {"names": [], "tensor": {"shape": [3], "values": [1, 2, 3]}}


def test_a_tensor_gives_a_tensor(service: GetService) -> None:
    message = {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}}
    data = service("Plain").result(message)["data"]
    assert data == {"names": ["t:0", "t:1"], "tensor": {"shape": [1, 2], "values": [2, 4]}}


def test_texts_in_an_array_come_back_as_they_are(service: GetService) -> None:
    message = {"data": {"ndarray": ["data"]}}
    assert service("WithoutMetrics").result(message)["data"] == {"names": [], "ndarray": ["data"]}


@pytest.mark.edge
@pytest.mark.parametrize("path", [*CALLS, "/route", "/aggregate"])
def test_nothing_at_all_is_400(service: GetService, path: str) -> None:
    reply = service("Identity").get(f"{path}?")
    assert reply.status == 400
    assert status_of(reply)["reason"] == "MICROSERVICE_BAD_DATA"


@pytest.mark.edge
def test_a_body_without_its_content_type_is_400(service: GetService) -> None:
    reply = service("Plain").post_body("/predict", json.dumps(MESSAGE).encode())
    assert reply.status == 400


@pytest.mark.parametrize("path", [*CALLS, "/route"])
def test_a_metric_of_no_known_type_is_500(service: GetService, path: str) -> None:
    reply = service("BadMetric").post(path, MESSAGE)
    assert reply.status == 500
    assert status_of(reply)["reason"] == "MICROSERVICE_BAD_METRIC"


@pytest.mark.edge
def test_a_component_s_exception_has_its_own_status(service: GetService) -> None:
    reply = service("Refusing").post("/predict", MESSAGE)
    assert reply.status == 403
    assert status_of(reply) | {"code": 0} == {
        "code": 0,
        "info": "foo",
        "reason": "MICROSERVICE_BAD_DATA",
        "status": 1,
    }


def test_any_other_exception_is_500_with_its_text(service: GetService) -> None:
    reply = service("Refusing").post("/transform-input", MESSAGE)
    assert reply.status == 500
    assert status_of(reply)["info"] == "an ordinary error"
    assert status_of(reply)["reason"] == "MICROSERVICE_INTERNAL_ERROR"


@pytest.mark.parametrize("path", ["/predict", "/transform-input"])
def test_a_blueprint_of_the_component_answers_its_exceptions(
    service: GetService, path: str
) -> None:
    reply = service("Handled", "handled").post(path, MESSAGE)
    assert reply.status == 402
    assert reply.json() == {"status": {"status": 402, "message": "pay first", "app_code": 1402}}


def test_what_a_blueprint_does_not_answer_is_500(service: GetService) -> None:
    handled = service("Handled", "handled")
    assert handled.result({"strData": "x"}) == {"strData": "free"}
    reply = handled.post("/transform-output", MESSAGE)
    assert reply.status == 500
    assert status_of(reply)["reason"] == "MICROSERVICE_INTERNAL_ERROR"


def test_keywords_receive_the_meta(service: GetService) -> None:
    message = MESSAGE | {"meta": {"puid": "abc"}}
    assert service("Keywords").result(message)["jsonData"] == {"meta": {"puid": "abc"}}


@pytest.mark.parametrize("component", ["Plain", "Inherited"])
def test_a_component_without_other_hooks_predicts_and_passes_on(
    service: GetService, component: str
) -> None:
    found = service(component)
    assert found.result(MESSAGE)["data"]["ndarray"] == [[2, 4]]
    assert found.result(MESSAGE, "/transform-input")["data"]["ndarray"] == [[1, 2]]
    assert found.result(MESSAGE, "/transform-output")["data"]["ndarray"] == [[1, 2]]
    assert found.post("/send-feedback", {"reward": 1.0}).status == 200


# Feedback


FEEDBACK = {"request": {"data": {"ndarray": []}}, "reward": 1.0}


@pytest.mark.edge
@pytest.mark.parametrize("path", ["/send-feedback", "/api/v0.1/feedback", "/api/v1.0/feedback"])
@pytest.mark.parametrize("component", ["WithoutMetrics", "Legacy", "Plain"])
def test_feedback_is_taken(service: GetService, path: str, component: str) -> None:
    assert service(component).post(path, FEEDBACK).status == 200


@pytest.mark.edge
def test_feedback_in_the_query_is_taken(service: GetService) -> None:
    reply = service("WithoutMetrics").ask("/send-feedback", FEEDBACK)
    assert (reply.status, reply.body) == (200, b'{"data":{"ndarray":[]},"meta":{}}\n')


def test_a_raw_feedback_hook_sees_the_reward(service: GetService) -> None:
    assert service("Raw").result(FEEDBACK, "/send-feedback")["strData"] == "1.0"


def test_rewards_are_counted(service: GetService) -> None:
    found = service("WithoutMetrics")

    def counted() -> tuple[float, float]:
        name = "seldon_api_model_feedback"
        return found.sample(f"{name}_total") or 0, found.sample(f"{name}_reward_total") or 0

    count, total = counted()
    for _ in range(2):
        assert found.post("/send-feedback", {"reward": 42}).status == 200
    eventually("rewards are shown", lambda: counted() == (count + 2, total + 84))


# Router


@pytest.mark.parametrize(("component", "number"), [("Identity", 22), ("Keywords", 3)])
def test_a_route_is_an_array_of_one_number(
    service: GetService, component: str, number: int
) -> None:
    message = MESSAGE | {"meta": {"puid": "1"}}
    assert service(component).result(message, "/route")["data"]["ndarray"] == [[number]]


def test_a_tensor_asks_for_a_route_as_a_tensor(service: GetService) -> None:
    message = {"data": {"tensor": {"shape": [1, 1], "values": [1]}}}
    data = service("Identity").result(message, "/route")["data"]
    assert data["tensor"] == {"shape": [1, 1], "values": [22]}


@pytest.mark.edge
@pytest.mark.parametrize(
    ("path", "info"), [("/route", "Route not defined"), ("/aggregate", "Aggregate not defined")]
)
def test_a_component_without_the_hook_is_400(service: GetService, path: str, info: str) -> None:
    message: object = MESSAGE if path == "/route" else [MESSAGE]
    reply = service("Plain").post(path, message)
    assert reply.status == 400
    assert status_of(reply)["info"] == info


def test_a_legacy_route_is_sent_as_it_is(service: GetService) -> None:
    assert service("Legacy").result(MESSAGE, "/route") == {"data": {"ndarray": [[1]]}}


def test_feedback_with_a_routing_is_taken(service: GetService) -> None:
    feedback = FEEDBACK | {"response": {"meta": {"routing": {"1": 1}}}}
    assert service("Identity").post("/send-feedback", feedback).status == 200


# Combiner


ONE = {"data": {"ndarray": [1]}}
TWO = {"data": {"ndarray": [2]}}


@pytest.mark.parametrize("as_list", [True, False])
def test_messages_are_joined(service: GetService, as_list: bool) -> None:
    message = [ONE, TWO] if as_list else {"seldonMessages": [ONE, TWO]}
    assert service("Combiner").result(message, "/aggregate")["data"]["ndarray"] == [6]


@pytest.mark.parametrize("data", [{"strData": "x"}, {"binData": "MTIz"}])
def test_texts_and_bytes_can_be_joined(service: GetService, data: dict[str, str]) -> None:
    reply = service("Identity").result({"seldonMessages": [data]}, "/aggregate")
    assert data.items() <= reply.items()


def test_the_metas_of_joined_messages_are_merged(service: GetService) -> None:
    def message(number: int) -> dict[str, Any]:
        metric = {"key": f"in{number}", "type": "COUNTER", "value": number}
        meta = {
            "tags": {"common": number, f"tag{number}": 1},
            "requestPath": {f"node{number}": "image"},
            "metrics": [metric],
        }
        return ONE | {"meta": meta}

    meta = service("Combiner").result([message(1), message(2)], "/aggregate")["meta"]
    assert meta["tags"] == {"common": 2, "tag1": 1, "tag2": 1, "mytag": 1}
    assert {"node1": "image", "node2": "image"}.items() <= meta["requestPath"].items()
    assert [metric["key"] for metric in meta["metrics"]] == ["in1", "in2", "own"]


@pytest.mark.edge
@pytest.mark.parametrize(
    "message", [{"wrong": [ONE]}, {"seldonMessages": ONE}, [ONE, {"no": 1}], [{"no": 1}]]
)
def test_what_is_no_list_of_messages_is_not_joined(service: GetService, message: object) -> None:
    reply = service("Combiner").post("/aggregate", message)
    assert reply.status == 400
    assert status_of(reply)["reason"] == "MICROSERVICE_BAD_DATA"


def test_a_bad_metric_of_a_combiner_is_500(service: GetService) -> None:
    assert service("BadMetric").post("/aggregate", [ONE]).status == 500


# The request in Flask


@pytest.mark.edge
def test_a_component_finds_its_request_in_flask(service: GetService) -> None:
    by_flask = service("ByFlask", "by_flask")
    for tenant in ("one", "two"):
        headers = {"X-Tenant": tenant, "User-Agent": "tests"}
        reply = by_flask.post("/predict?a=1", MESSAGE, headers=headers)
        assert reply.status == 200, reply
        assert reply.json() == {
            "jsonData": {"method": "POST", "path": "/predict", "sent": MESSAGE, "agent": "tests"},
            "meta": {"tags": {"tenant": tenant, "args": "1"}},
        }
    assert by_flask.result(MESSAGE)["meta"]["tags"] == {"tenant": None, "args": None}


# Tags and metrics of an answer


@pytest.mark.parametrize("path", CALLS)
def test_an_answer_s_own_tags_win(service: GetService, path: str) -> None:
    tags = service("Runtime").result(MESSAGE, path)["meta"]["tags"]
    assert tags == {"static": "tag", "runtime": "tag", "shared": "right one"}


def test_metrics_are_exposed_with_seldon_s_names_and_labels(service: GetService) -> None:
    runtime = service("Runtime")
    of_predict = {"method": "predict", "predictor_version": "NOT_IMPLEMENTED"}

    def value(name: str, **labels: str) -> float:
        return runtime.sample(name, **of_predict, **labels) or 0

    adding = [
        ("runtime_counter_total", {}, 2),
        ("runtime_timer_sum", {}, 0.0404),
        ("runtime_timer_count", {}, 2),
        ("runtime_timer_bucket", {"le": "0.019018554321561593"}, 0),
        ("runtime_timer_bucket", {"le": "0.02347185009632733"}, 2),
    ]
    before = [value(name, **labels) for name, labels, _ in adding]
    keys = [metric["key"] for metric in runtime.result(MESSAGE)["meta"]["metrics"]]
    assert keys[:2] == ["static_gauge", "runtime_gauge"]
    runtime.result(MESSAGE)
    eventually("both calls are counted", lambda: value(adding[0][0]) == before[0] + 2)
    added = [value(name, **labels) for name, labels, _ in adding]
    assert added == pytest.approx(
        [old + more for old, (_, _, more) in zip(before, adding, strict=True)]
    )
    assert value("static_gauge") == 100
    assert value("runtime_gauge") == 42
    assert value("tagged_gauge", own="label") == 7
    labels = next(labels for name, labels, _ in runtime.samples() if name == "tagged_gauge")
    assert set(labels) - {"worker_id"} == {
        *("own", "method", "deployment_name", "model_name", "model_image", "model_version"),
        *("predictor_name", "predictor_version"),
        *("seldon_deployment_name", "image_name", "image_version"),
    }


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/transform-input", "inputtransform"),
        ("/transform-output", "outputtransform"),
        ("/route", "router"),
        ("/send-feedback", "feedback"),
        ("/health/status", "health"),
    ],
)
def test_a_metric_names_the_call_it_comes_from(service: GetService, path: str, method: str) -> None:
    identity = service("Identity")

    def value() -> float:
        return identity.sample("mycounter_total", method=method) or 0

    before = value()
    if path == "/health/status":
        assert identity.get(path).status == 200
    else:
        assert identity.post(path, FEEDBACK if "feedback" in path else MESSAGE).status == 200
    eventually("it is counted", lambda: value() == before + 1)


# Health, metadata, description


@pytest.mark.edge
def test_ping_is_pong(service: GetService) -> None:
    reply = service("Identity").get("/health/ping")
    assert (reply.status, reply.body) == (200, b"pong")


@pytest.mark.parametrize("path", ["/health/status", "/api/v1.0/health/status"])
def test_a_component_tells_its_health(service: GetService, path: str) -> None:
    reply = service("Identity").get(path)
    assert reply.status == 200
    assert reply.json()["data"]["tensor"]["values"] == [0.123]
    assert service("Plain").get(path).json() == {"meta": {}, "strData": "healthy"}
    raw = service("Healthy").get(path)
    assert (raw.status, raw.json()) == (200, {"meta": {}, "strData": "raw health"})


@pytest.mark.parametrize("path", ["/metadata", "/api/v1.0/metadata"])
def test_metadata_is_what_the_component_says(service: GetService, path: str) -> None:
    reply = service("Identity").get(path)
    assert reply.status == 200
    assert reply.json() == {
        "name": "identity",
        "versions": ["v1"],
        "platform": "conformance",
        "inputs": [{"messagetype": "tensor", "schema": {"names": ["a"], "shape": [1]}}],
        "outputs": [],
        "custom": {"author": "conformance"},
    }


def test_metadata_that_is_wrong_is_500_and_predictions_go_on(service: GetService) -> None:
    bad = service("BadMetadata")
    reply = bad.get("/metadata")
    assert reply.status == 500
    assert status_of(reply)["reason"] == "MICROSERVICE_BAD_METADATA"
    assert bad.result(MESSAGE)["data"]["ndarray"] == [[2, 4]]


def test_the_description_has_the_internal_calls(service: GetService) -> None:
    reply = service("Identity").get("/seldon.json")
    assert reply.status == 200
    paths = {*CALLS, "/route", "/aggregate", "/send-feedback"}
    assert paths <= set(reply.json()["paths"])


@pytest.mark.edge
def test_any_origin_may_ask(service: GetService) -> None:
    found = service("Plain")
    assert found.post("/predict", MESSAGE).header("Access-Control-Allow-Origin") == "*"
    assert found.options("/predict").status == 200
