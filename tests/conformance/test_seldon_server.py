"""Seldon components in this server: where they are served, beside what, and what outlives their workers."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator

import pytest
from support.client import Address, Client
from support.processes import free_port, is_original
from support.server import Server, ServerPool
from support.waiting import eventually

from .seldon_service import Service

pytestmark = pytest.mark.better_than_mms

MESSAGE = {"data": {"ndarray": [[1, 2]]}}
BYTES = b'{"data":{"names":["t:0","t:1"],"ndarray":[[2,4]]},"meta":{}}\n'


@pytest.fixture
def seldon_server(servers: ServerPool, lane: str) -> Server:
    return servers.get("seldon", lane.removeprefix("lane="))


def service_of(server: Server, component: str) -> Service:
    name = server.shared("seldon", handler=f"components:{component}")
    return Service(server.inference, f"/seldon/{name}", server.management)


@pytest.mark.edge
def test_a_component_is_served_below_seldon_and_by_mms_s_own_route(seldon_server: Server) -> None:
    plain = service_of(seldon_server, "Plain")
    name = plain.base.rpartition("/")[2]
    client = seldon_server.inference
    for path in (
        f"/seldon/{name}/predict",
        f"/seldon/{name}/api/v0.1/predictions",
        f"/seldon/space/{name}/api/v1.0/predictions",
        f"/predictions/{name}",
    ):
        reply = client.post_json(path, MESSAGE)
        assert (reply.status, reply.body) == (200, BYTES), path


def test_describe_tells_the_interface(seldon_server: Server) -> None:
    name = seldon_server.shared("seldon", handler="components:Plain")
    assert seldon_server.describe(name)["interface"] == "seldon"
    with seldon_server.registered("noop") as other:
        assert seldon_server.describe(other)["interface"] == "mms"


@pytest.mark.edge
def test_the_gateway_s_route_echoes_the_prediction_s_id(seldon_server: Server) -> None:
    plain = service_of(seldon_server, "Plain")
    reply = plain.post("/api/v1.0/predictions", MESSAGE, headers={"Seldon-Puid": "mine"})
    assert reply.header("Seldon-Puid") == "mine"
    made = plain.post("/api/v1.0/predictions", MESSAGE).header("Seldon-Puid")
    assert made is not None
    assert len(made) == 36


def test_series_of_two_models_of_one_class_are_told_apart(seldon_server: Server) -> None:
    with (
        seldon_server.registered("seldon", handler="components:Identity") as one,
        seldon_server.registered("seldon", handler="components:Identity") as other,
    ):
        feedback = {"reward": 2.0}
        for name, count in ((one, 1), (other, 3)):
            service = Service(seldon_server.inference, f"/seldon/{name}", seldon_server.management)
            version = seldon_server.describe(name).get("modelVersion", "latest")
            for _ in range(count):
                service.result(MESSAGE)
                service.result(feedback, "/send-feedback")
            labels = {"model_name": name, "model_version": version}
            for series, method in (
                ("mycounter_total", "predict"),
                ("seldon_api_model_feedback_total", "feedback"),
            ):
                eventually(
                    f"{series} of {name} is {count}",
                    lambda service=service, series=series, method=method, labels=labels, count=count: (
                        service.sample(series, method=method, **labels) == count
                    ),
                )


@pytest.mark.edge
def test_an_error_of_a_component_keeps_seldon_s_body_on_mms_s_route(seldon_server: Server) -> None:
    name = seldon_server.shared("seldon", handler="components:Refusing")
    reply = seldon_server.inference.post_json(f"/predictions/{name}", MESSAGE)
    assert (reply.status, reply.json()["status"]["info"]) == (403, "foo")


def test_raw_hooks_annotated_with_the_message_get_it_over_rest(seldon_server: Server) -> None:
    annotated = service_of(seldon_server, "Annotated")
    assert annotated.result({"strData": "abc"})["strData"] == "ABC"
    assert annotated.result([{"strData": "a"}, {"strData": "b"}], "/aggregate")["strData"] == "2"
    assert annotated.post("/predict", {"strData": 1}).status == 400


def test_mistakes_of_clients_are_400_and_name_the_member(seldon_server: Server) -> None:
    plain = service_of(seldon_server, "Plain")
    for message, member in (
        ({"data": [[1, 2]]}, "data must be"),
        ({"data": {"ndarray": [[1, 2], [3]]}}, "data.ndarray"),
        ({"data": {"tensor": {"shape": [2, 2], "values": [1]}}}, "data.tensor.shape"),
        ({"binData": "@@@"}, "binData"),
        ([[1, 2]], "Invalid request data type"),
    ):
        reply = plain.post("/api/v1.0/predictions", message)
        assert reply.status == 400, (message, reply)
        assert reply.json()["status"]["reason"] == "MICROSERVICE_BAD_DATA"
        assert reply.json()["status"]["info"].startswith(member)


def test_integers_beyond_64_bits_stay_exact(seldon_server: Server) -> None:
    identity = service_of(seldon_server, "Identity")
    long = 2**70 + 1
    answer = identity.result({"jsonData": {"n": long}, "meta": {"tags": {"n": -long}}})
    assert answer["jsonData"] == {"n": long}
    assert answer["meta"]["tags"]["n"] == -long


def test_a_tftensor_gives_a_tftensor(seldon_server: Server) -> None:
    sent = {
        "dtype": "DT_DOUBLE",
        "tensorShape": {"dim": [{"size": "2"}, {"size": "1"}]},
        "doubleVal": [1.5, 2.0],
    }
    data = service_of(seldon_server, "Plain").result({"data": {"tftensor": sent}})["data"]
    assert data["names"] == ["t:0"]
    assert data["tftensor"]["dtype"] == "DT_DOUBLE"
    assert data["tftensor"]["tensorShape"] == sent["tensorShape"]
    content = data["tftensor"].get("tensorContent")
    values = (
        list(struct.unpack("<2d", base64.b64decode(content)))
        if content
        else data["tftensor"]["doubleVal"]
    )
    assert values == [3.0, 4.0]


def test_counters_go_on_when_a_worker_has_died(seldon_server: Server) -> None:
    crashing = service_of(seldon_server, "Crashing")

    def counted() -> float:
        return crashing.sample("survivor_total") or 0

    before = counted()
    assert crashing.post("/predict", {"strData": "live"}).status == 200
    eventually("the first is counted", lambda: counted() == before + 1)
    reply = crashing.post("/predict", {"strData": "die"})
    assert (reply.status, reply.json()["status"]["info"]) == (500, "Worker died.")
    eventually(
        "another worker serves",
        lambda: crashing.post("/predict", {"strData": "live"}).status == 200,
        30,
    )
    eventually("the second is counted, too", lambda: counted() == before + 2)


def test_a_metric_without_a_valid_name_does_not_break_the_scrape(seldon_server: Server) -> None:
    odd = service_of(seldon_server, "Odd")
    before = odd.sample("good_name_total") or 0
    assert odd.post("/predict", MESSAGE).status == 200
    eventually("the other is shown", lambda: odd.sample("good_name_total") == before + 1)
    seldon_server.wait_for_log("mms_log.log", r"Metric 'no-name' of model \S+ is left out")
    assert odd.sample("mms_requests_total", status="200", model=odd.base[8:]) is not None


@pytest.fixture(scope="module")
def alone(servers: ServerPool) -> Iterator[tuple[Server, Service]]:
    """One component in strict mode, with listeners and environment as in Seldon's images."""
    if is_original():
        pytest.skip("not of AWS Multi Model Server")
    ports = [free_port(), free_port()]
    server = Server(
        servers.new_directory(),
        {
            "default_workers_per_model": "1",
            "load_models": "alone=seldon",
            "default_model": "alone",
            "seldon_strict": "true",
            "seldon_address": f"http://127.0.0.1:{ports[0]}",
            "seldon_metrics_address": f"http://127.0.0.1:{ports[1]}",
            "seldon_metrics_path": "/metrics-endpoint",
        },
        environment={
            "PREDICTIVE_UNIT_ID": "my-test-model",
            "PREDICTIVE_UNIT_IMAGE": "registry:5000/my-test-image:0.1",
            "PREDICTOR_ID": "default",
            "PREDICTOR_LABELS": json.dumps({"version": "v3"}),
            "SELDON_DEPLOYMENT_ID": "deployment",
            "INCLUDE_METRICS_IN_CLIENT_RESPONSE": "false",
        },
    ).start()
    client = Client(Address(port=ports[0]))
    metrics = Client(Address(port=ports[1]))
    eventually("it is ready", lambda: client.get("/ready").status == 200, 30)
    yield server, Service(client, "", metrics, "/metrics-endpoint")
    server.stop()


def test_the_default_model_is_at_the_root_of_both_listeners(
    alone: tuple[Server, Service],
) -> None:
    server, service = alone
    for client in (server.inference, service.client):
        reply = client.post_json("/api/v1.0/predictions", MESSAGE)
        assert reply.status == 200
        assert reply.json()["data"]["ndarray"] == [[1, 2]]
    assert server.inference.get("/ping").json() == {"status": "Healthy"}
    assert service.client.get("/ping").status == 500


def test_the_answer_names_the_image_of_the_node_and_no_metrics(
    alone: tuple[Server, Service],
) -> None:
    _, service = alone
    assert "metrics" not in service.result(MESSAGE)["meta"]
    message = MESSAGE | {"meta": {"requestPath": {"earlier": "image:1"}}}
    for path in ("/predict", "/transform-input", "/transform-output"):
        assert service.result(message, path)["meta"]["requestPath"] == {
            "my-test-model": "registry:5000/my-test-image:0.1",
            "earlier": "image:1",
        }


def test_the_labels_of_metrics_come_from_seldon_s_variables(alone: tuple[Server, Service]) -> None:
    server, service = alone
    service.result(MESSAGE)
    labels = {
        "method": "predict",
        "deployment_name": "deployment",
        "seldon_deployment_name": "deployment",
        "model_name": "my-test-model",
        "model_image": "registry:5000/my-test-image",
        "image_name": "registry:5000/my-test-image",
        "model_version": "0.1",
        "image_version": "0.1",
        "predictor_name": "default",
        "predictor_version": "v3",
    }
    eventually("it is counted", lambda: service.sample("mycounter_total", **labels))
    (worker,) = server.describe("alone")["workers"]
    assert service.sample("mycounter_total", **labels, worker_id=str(worker["pid"]))


def test_strict_mode_answers_an_unknown_route_as_the_wrapper_does(
    alone: tuple[Server, Service],
) -> None:
    _, service = alone
    for method, path, words in (
        ("GET", "/nothing", "404 Not Found: "),
        ("POST", "/predict/", "404 Not Found: "),
        ("DELETE", "/predict", "405 Method Not Allowed: "),
    ):
        reply = service.client.request(method, path)
        assert reply.status == 500
        assert reply.json()["status"]["info"].startswith(words)
        assert reply.json()["status"]["reason"] == "MICROSERVICE_INTERNAL_ERROR"


def test_strict_mode_answers_none_as_the_wrapper_does(
    alone: tuple[Server, Service],
) -> None:
    server, service = alone
    source = "class Model:\n    def predict(self, X, names):\n        return None\n"
    manifest = {
        "runtime": "python",
        "model": {
            "modelName": "none",
            "handler": "service:Model",
            "extensions": {"interface": "seldon"},
        },
        "modelServerVersion": "1.0",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
    }
    with server.registered(server.write_model("none", source, manifest), model_name="none"):
        assert service.client.post_json("/seldon/none/predict", MESSAGE).status == 400
