"""The package seldon_core that components import where Seldon's own is not installed."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mms.interfaces.seldon.codec import messages
from mms.interfaces.seldon.codec.body import read_json_body
from mms.interfaces.seldon.codec.forms import Form
from mms.interfaces.seldon.codec.json_decoding import decode_json
from mms.interfaces.seldon.codec.json_encoding import encode_json
from mms.interfaces.seldon.codec.json_text import dump_json
from mms.interfaces.seldon.codec.proto_payload import decode_proto, encode_proto

ROOT = Path(__file__).resolve().parents[3]
SHIM = ROOT / "mms" / "interfaces" / "seldon" / "packages" / "seldon_core"


@pytest.fixture(autouse=True)
def shim(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(SHIM))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "seldon_core"]:
        del sys.modules[name]


def load(name: str) -> Any:
    return importlib.import_module(f"seldon_core.{name}")


def test_a_component_that_needs_no_numbers_loads_none_of_their_libraries() -> None:
    script = (
        "import sys, seldon_core.user_model, seldon_core.metrics, seldon_core.flask_utils\n"
        "print([m for m in ('numpy', 'google.protobuf', 'orjson', 'flask') if m in sys.modules])"
    )
    path = os.pathsep.join((str(SHIM), str(ROOT)))
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert finished.stdout == "[]\n", finished.stderr


def test_hooks_of_the_base_class_say_what_is_not_implemented() -> None:
    user_model = load("user_model")
    component = user_model.SeldonComponent(any=1)
    for call, text in (
        (lambda: component.predict(1, []), "predict is not implemented"),
        (lambda: component.route(1, []), "route is not implemented"),
        (component.health_status, "health is not implemented"),
        (component.tags, "tags is not implemented"),
    ):
        with pytest.raises(user_model.SeldonNotImplementedError) as raised:
            call()
        assert (raised.value.message, raised.value.status_code) == (text, 400)
    component.load()


def test_a_response_is_made_once() -> None:
    response_class = load("user_model").SeldonResponse
    response = response_class.create([1])
    assert (response.data, response.tags, response.metrics) == ([1], {}, [])
    assert response_class.create(response) is response


def test_the_messages_are_those_of_the_server() -> None:
    assert load("proto.prediction_pb2").SeldonMessage is messages.SeldonMessage
    services = load("proto.prediction_pb2").DESCRIPTOR.services_by_name
    assert services["Model"].full_name == "seldon.protos.Model"


def test_messages_and_json_are_converted_to_each_other() -> None:
    utils = load("utils")
    content = {"data": {"names": ["a"], "ndarray": [[1.0]]}, "meta": {"puid": "p"}}
    message = utils.json_to_seldon_message(content)
    assert utils.seldon_message_to_json(message) == content
    value, meta, data, kind = utils.extract_request_parts(message)
    assert (value.tolist(), meta, list(data.names), kind) == ([[1.0]], {"puid": "p"}, ["a"], "data")
    value, json_meta, json_data, kind = utils.extract_request_parts_json(content)
    assert (value.tolist(), json_meta) == ([[1.0]], {"puid": "p"})
    assert (json_data, kind) == (content["data"], "data")
    with pytest.raises(load("flask_utils").SeldonMicroserviceException, match="Invalid JSON: "):
        utils.json_to_seldon_message({"wrong": 1})


@pytest.mark.parametrize("form", ["tensor", "ndarray", "tftensor"])
def test_an_array_goes_into_a_message_and_out_of_it(form: str) -> None:
    utils = load("utils")
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    data = utils.array_to_grpc_datadef(form, array, ["a", "b"])
    assert data.WhichOneof("data_oneof") == form
    np.testing.assert_array_equal(utils.grpc_datadef_to_array(data), array)
    assert form in utils.array_to_rest_datadef(form, array)


def test_variables_are_read_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    utils = load("utils")
    monkeypatch.setenv("SECOND_NAME", "True")
    assert utils.getenv("FIRST_NAME", "SECOND_NAME") == "True"
    assert utils.getenv("FIRST_NAME", default=3) == 3
    assert utils.getenv_as_bool("FIRST_NAME", "SECOND_NAME") is True
    monkeypatch.setenv("SECOND_NAME", "yes")
    assert utils.getenv_as_bool("SECOND_NAME") is False


def test_storage_gives_local_files_and_nothing_else(tmp_path: Path) -> None:
    storage = importlib.import_module("seldon_core").Storage
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "file").write_text("x")
    assert storage.download(str(folder)) == storage.download(f"file://{folder}") == str(folder)
    target = tmp_path / "out"
    assert storage.download(str(folder), str(target)) == str(target)
    assert (target / "file").read_text() == "x"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        storage.download(f"file://{tmp_path}/none")
    with pytest.raises(ValueError, match="Cannot recognize storage type for s3://bucket"):
        storage.download("s3://bucket")


def test_metrics_are_made_of_numbers_alone_and_added_up() -> None:
    metrics = load("metrics")
    assert metrics.create_timer("k", 1.5) == {"key": "k", "type": "TIMER", "value": 1.5}
    for create in (metrics.create_counter, metrics.create_gauge, metrics.create_timer):
        with pytest.raises(TypeError):
            create("k", "one")
    collected = metrics.SeldonMetrics()
    for _ in range(2):
        collected.update([metrics.create_counter("c", 2), metrics.create_gauge("g", 3)], "predict")
        collected.update([metrics.create_timer("t", 20)], "predict")
    collected.update_reward(42)
    found = {series["name"]: series["value"] for series in collected.collect()}
    feedback = {"seldon_api_model_feedback": 1.0, "seldon_api_model_feedback_reward": 42.0}
    assert found == {"c": 4.0, "g": 3.0, "t": [0.02, 0.02], **feedback}
    assert collected.collect()[0]["labels"]["method"] == "predict"
    collected.clear()
    assert collected.collect() == []


def test_annotations_lose_their_quotes(tmp_path: Path) -> None:
    file = tmp_path / "annotations"
    file.write_text('foo="bar"\n spaced = "x=y" \nnone\n')
    load_annotations = load("microservice").load_annotations
    assert load_annotations(str(file)) == {"foo": "bar", "spaced": "x=y"}
    assert load_annotations(str(tmp_path / "none")) == {}


# The client


class EchoHandler(BaseHTTPRequestHandler):
    """Answers with the request's payload, and its path as puid; 404 below /none."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        content = read_json_body(self.headers["Content-Type"].encode(), b"", body)
        meta = {"puid": self.path, "tags": (content.get("meta") or {}).get("tags", {})}
        token = self.headers.get("X-Auth-Token")
        if token:
            meta["tags"]["token"] = token
        if "seldonMessages" in content:
            content = content["seldonMessages"][0]
        if "request" in content:
            content = content["request"]
        incoming = decode_json(content)
        reply = dump_json(encode_json(incoming.value, incoming.form, lambda: None, meta))
        self.send_response(404 if "none" in self.path else 200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


ARRAY = np.array([[1.0, 2.0]])


@pytest.mark.parametrize("form", ["tensor", "ndarray", "tftensor"])
def test_the_client_calls_a_component(endpoint: str, form: str) -> None:
    client = load("seldon_client").SeldonClient(microservice_endpoint=endpoint, payload_type=form)
    found = client.microservice(data=ARRAY, names=["a", "b"], method="transform-input")
    assert found.success, found
    assert found.response.meta.puid == "/transform-input"
    np.testing.assert_array_equal(decode_proto(found.response).value, ARRAY)
    combined = client.microservice(method="aggregate", datas=[ARRAY, ARRAY])
    assert combined.success and len(combined.request.seldonMessages) == 2
    feedback = client.microservice_feedback(found.request, found.response, reward=1.0)
    assert feedback.success and feedback.request.reward == 1.0


def test_the_client_predicts_through_a_gateway(endpoint: str) -> None:
    module = load("seldon_client")
    client = module.SeldonClient(
        gateway_endpoint=endpoint, deployment_name="dep", namespace="ns", payload_type="ndarray"
    )
    found = client.predict(data=ARRAY, meta={"k": "v"})
    assert found.success, found
    assert found.response["meta"] == {
        "puid": "/seldon/ns/dep/api/v1.0/predictions",
        "tags": {"k": "v"},
    }
    assert found.response["data"]["ndarray"] == [[1.0, 2.0]]
    found = client.predict(
        gateway="seldon",
        str_data="text",
        client_return_type="proto",
        ssl=False,
    )
    assert (found.response.strData, found.response.meta.puid) == ("text", "/api/v1.0/predictions")
    raw = client.predict(raw_data={"jsonData": {"whole": 1}})
    assert raw.response["jsonData"] == {"whole": 1}
    missing = client.predict(deployment_name="none", data=ARRAY)
    assert (missing.success, missing.msg) == (False, "404:Not Found")
    fed = client.feedback(prediction_request=messages.SeldonMessage(strData="a"), reward=2)
    assert fed.success and fed.response["meta"]["puid"].endswith("/api/v1.0/feedback")
    with_token = module.SeldonClient(
        gateway="seldon",
        gateway_endpoint=endpoint,
        call_credentials=module.SeldonCallCredentials("secret"),
    )
    assert with_token.predict(ssl=False).response["meta"]["tags"]["token"] == "secret"


def test_the_client_names_arguments_that_it_cannot_use() -> None:
    module = load("seldon_client")
    with pytest.raises(module.SeldonClientException, match="gateway must be one of ambassador"):
        module.SeldonClient(gateway="other").predict()
    with pytest.raises(module.SeldonClientException, match="numpy array"):
        module.SeldonClient().predict(data=[1])


def test_client_and_servicer_meet_over_grpc() -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    stubs = load("proto.prediction_pb2_grpc")

    class Servicer(stubs.ModelServicer):  # type: ignore[misc,name-defined]
        def Predict(self, request: Any, context: Any) -> Any:
            incoming = decode_proto(request)
            return encode_proto(incoming.value * 2, Form.NDARRAY, lambda: None, {})

    server = grpc.server(futures.ThreadPoolExecutor(1))
    stubs.add_ModelServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        client = load("seldon_client").SeldonClient(
            transport="grpc", microservice_endpoint=f"127.0.0.1:{port}"
        )
        found = client.microservice(data=ARRAY)
        assert found.success, found
        assert decode_proto(found.response).value.tolist() == [[2.0, 4.0]]
        refused = client.microservice_feedback(found.request, found.response)
        assert (refused.success, refused.response) == (False, None)
        assert "UNIMPLEMENTED" in refused.msg
    finally:
        server.stop(None).wait()


def test_a_component_inherits_and_raises_what_the_host_knows() -> None:
    from mms.interfaces.seldon.errors import error_answer

    error = load("flask_utils").SeldonMicroserviceException("foo", status_code=403)
    answer = error_answer(error)
    assert answer.status == 403
    assert json.loads(answer.body()) == error.to_dict()
