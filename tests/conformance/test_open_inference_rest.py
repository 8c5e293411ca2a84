"""What the Open Inference Protocol promises to clients of REST, black box."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from typing import Any

import numpy as np
import pytest
from support.client import Reply, in_parallel
from support.server import Server, manifest
from support.waiting import eventually

pytestmark = [pytest.mark.edge, pytest.mark.better_than_mms]

HANDLER = """
import os
import time
from mms.service import PredictionException

def handle(data, context):
    if data is None:
        return None
    if any(wants(item, "refuse") for item in data):
        raise PredictionException("refused", 422)
    if any(wants(item, "refuse with 200") for item in data):
        raise PredictionException("no error", 200)
    if any(wants(item, "fail") for item in data):
        raise ValueError("asked to")
    for place, item in enumerate(data):
        if text := wants(item, "header"):
            context.set_response_header(place, "x-scored-by", text)
    return [answer(item, len(data)) for item in data]

def wants(item, what):
    return (item.get("parameters") or {}).get(what)

def answer(item, count):
    parameters = item.get("parameters")
    if parameters is None:
        return {"came": item["body"] if isinstance(item["body"], dict) else "bytes", "batch": count}
    if parameters.get("die"):
        os._exit(3)
    while not os.path.exists(parameters.get("gate", "/")):
        time.sleep(0.005)
    for name, array in item["inputs"].items():
        if array.size and array.dtype != object:
            # It can be written to.
            array.reshape(-1)[:1] = array.reshape(-1)[:1]
    if "batch" in parameters:
        return count
    if "nothing" in parameters:
        return None
    if "scalar" in parameters:
        return 2.5
    if "seen" in parameters:
        return repr((item["id"], sorted(parameters), item["body"] is item["inputs"]))
    return item["inputs"]
"""


@pytest.fixture
def model(server: Server) -> str:
    if not (server.store / "tensors").exists():
        server.write_model("tensors", HANDLER, manifest("tensors"))
    return server.shared("tensors", batch_size=4)


def tensor(name: str = "x", data: Any = (1, 2), datatype: str = "INT32", **more: Any) -> Any:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": list(data), **more}


def infer(server: Server, model: str, *inputs: Any, **more: Any) -> Reply:
    document = {"inputs": list(inputs) or [tensor()], **more}
    return server.inference.post_json(f"/v2/models/{model}/infer", document)


def error_of(reply: Reply, status: int) -> str:
    assert reply.status == status, reply
    assert reply.header("content-type") == "application/json"
    document = reply.json()
    assert list(document) == ["error"]
    return str(document["error"])


# Health and metadata


def test_health_is_told_by_status_and_body(server: Server, model: str) -> None:
    reply = server.inference.get("/v2/health/live")
    assert (reply.status, reply.json()) == (200, {"live": True})
    eventually("it is ready", lambda: server.inference.get("/v2/health/ready").status == 200)
    assert server.inference.get("/v2/health/ready").json() == {"ready": True}
    reply = server.inference.get(f"/v2/models/{model}/ready")
    assert (reply.status, reply.json()) == (200, {"name": model, "ready": True})


def test_the_server_tells_its_name_and_extensions(server: Server) -> None:
    for path in ("/v2", "/v2/"):
        document = server.inference.get(path).json()
        assert document["name"] == "multi-model-server"
        assert "binary_tensor_data" in document["extensions"]


def test_a_model_without_a_declaration_has_empty_metadata(server: Server, model: str) -> None:
    found = server.inference.get(f"/v2/models/{model}").json()
    assert (found["name"], found["inputs"], found["outputs"]) == (model, [], [])
    assert "versions" not in found


@pytest.mark.parametrize("path", ["/v2/zz", "/v2/zz/infer"])
def test_a_path_that_the_protocol_does_not_have_is_404_in_its_form(
    server: Server, model: str, path: str
) -> None:
    assert error_of(server.inference.get(path), 404)


def test_an_exception_with_the_status_of_a_success_is_an_error_all_the_same(
    server: Server, model: str
) -> None:
    reply = infer(server, model, parameters={"refuse with 200": True})
    assert error_of(reply, 500) == "no error"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["nope/infer", "nope", "nope/ready", "nope/versions/1/infer"])
def test_an_unknown_model_is_404(server: Server, method: str, path: str) -> None:
    reply = server.inference.request(
        method, f"/v2/models/{path}", b"{}" if method == "POST" else None
    )
    is_served = method == ("POST" if path.endswith("infer") else "GET")
    message = error_of(reply, 404 if is_served else 405)
    assert not is_served or "nope" in message


def test_a_version_of_a_model_without_versions_is_404(server: Server, model: str) -> None:
    for path in ("", "/ready"):
        error_of(server.inference.get(f"/v2/models/{model}/versions/1{path}"), 404)
    path = f"/v2/models/{model}/versions/1/infer"
    error_of(server.inference.post_json(path, {"inputs": [tensor()]}), 404)


@pytest.mark.parametrize("path", ["/v2/trace/setting", "/v2/logging"])
def test_settings_of_a_server_are_refused_by_name(server: Server, path: str) -> None:
    assert "does not have" in error_of(server.inference.post_json(path, {}), 501)


# Inference


def test_a_dict_of_arrays_is_answered_by_name(server: Server, model: str) -> None:
    reply = infer(server, model, tensor(), tensor("y", ["ä", ""], "BYTES"), id="i7")
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert reply.json() == {
        "model_name": model,
        "id": "i7",
        "outputs": [
            {"name": "x", "datatype": "INT32", "shape": [2], "data": [1, 2]},
            {"name": "y", "datatype": "BYTES", "shape": [2], "data": ["ä", ""]},
        ],
    }


def test_a_scalar_is_the_output_0(server: Server, model: str) -> None:
    (output,) = infer(server, model, parameters={"scalar": True}).json()["outputs"]
    assert output == {"name": "output_0", "datatype": "FP64", "shape": [], "data": [2.5]}


def test_a_handler_sees_id_and_parameters(server: Server, model: str) -> None:
    more = {"seen": 1, "timeout": 60_000_000, "priority": 1}
    (output,) = infer(server, model, id="a", parameters=more).json()["outputs"]
    assert output["data"] == ["('a', ['priority', 'seen', 'timeout'], True)"]


def test_binary_tensors_travel_both_ways_beside_json(server: Server, model: str) -> None:
    array = np.arange(6, dtype="<f8")
    document = {
        "inputs": [
            {
                "name": "b",
                "shape": [2, 3],
                "datatype": "FP64",
                "parameters": {"binary_data_size": 48},
            },
            tensor("j"),
        ],
        "outputs": [{"name": "j"}, {"name": "b", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(document).encode()
    for coding, pack in (("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)):
        reply = server.inference.post(
            f"/v2/models/{model}/infer",
            pack(text + array.tobytes()),
            headers={
                "Inference-Header-Content-Length": str(len(text)),
                "Content-Encoding": coding,
            },
        )
        assert reply.status == 200, reply
        length = int(reply.header("Inference-Header-Content-Length") or "")
        told = json.loads(reply.body[:length])
        assert told["outputs"][0]["data"] == [1, 2]
        assert told["outputs"][1]["parameters"] == {"binary_data_size": 48}
        assert reply.body[length:] == array.tobytes()


@pytest.mark.parametrize(
    ("coding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
def test_a_large_answer_is_compressed_for_who_can_read_it(
    server: Server, model: str, coding: str, unpack: Any
) -> None:
    document = {"inputs": [tensor(data=[5] * 3000)]}
    reply = server.inference.post_json(
        f"/v2/models/{model}/infer", document, headers={"Accept-Encoding": coding}
    )
    assert reply.header("content-encoding") == coding
    assert json.loads(unpack(reply.body))["outputs"][0]["data"] == [5] * 3000


def test_bodies_are_measured_after_they_are_unfolded(server: Server, model: str) -> None:
    body = gzip.compress(b" " * 7_000_000)
    reply = server.inference.post(
        f"/v2/models/{model}/infer", body, headers={"Content-Encoding": "gzip"}
    )
    assert "decompresses to more than" in error_of(reply, 413)


def test_a_broken_coding_is_400(server: Server, model: str) -> None:
    body = gzip.compress(b'{"inputs": []}' * 100)[:-9]
    reply = server.inference.post(
        f"/v2/models/{model}/infer", body, headers={"Content-Encoding": "gzip"}
    )
    assert "breaks off" in error_of(reply, 400)


def test_requests_of_two_protocols_share_a_batch(server: Server, model: str) -> None:
    with server.registered(
        "tensors", batch_size=3, batch_policy="fixed", max_batch_delay=20_000
    ) as name:
        asked, plain, wrong = in_parallel(
            [
                lambda: infer(server, name, parameters={"batch": True}),
                lambda: server.inference.post(f"/predictions/{name}", b"x"),
                lambda: infer(server, name, tensor(shape=[7]), parameters={"batch": True}),
            ]
        )
    # The broken request has failed alone, before the call.
    assert asked.json()["outputs"][0]["data"] == [2]
    assert plain.json() == {"came": "bytes", "batch": 2}
    assert "needs 7" in error_of(wrong, 400)


# Failures


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"refuse": True}, 422, "refused"),
        ({"fail": True}, 500, "Prediction failed"),
        ({"die": True}, 500, "Worker died."),
        ({"nothing": True}, 500, "Output 'output_0'"),
        ({"timeout": -1}, 400, "Parameter timeout is -1"),
        ({"timeout": "5"}, 400, "Parameter timeout is '5'"),
        ({"priority": 1.5}, 400, "Parameter priority is 1.5"),
        ({"a": []}, 400, "the parameter 'a' with the value []"),
    ],
)
def test_a_failure_says_what_went_wrong_with_the_right_status(
    server: Server, model: str, parameters: Any, status: int, message: str
) -> None:
    assert message in error_of(infer(server, model, parameters=parameters), status)
    if "die" in parameters:
        eventually("the worker is back", lambda: infer(server, model, parameters={}).status == 200)


def test_the_timeout_of_a_request_is_a_deadline_in_microseconds(
    server: Server, model: str, tmp_path: Any
) -> None:
    gate = tmp_path / "gate"
    parameters = {"gate": str(gate), "timeout": 50_000}
    try:
        error_of(infer(server, model, parameters=parameters), 408)
    finally:
        gate.touch()
    # Also where the body is too large for the loop to read.
    large = tensor(data=list(range(40_000)))
    gate.unlink()
    try:
        error_of(infer(server, model, large, parameters=parameters), 408)
    finally:
        gate.touch()


def test_a_wrong_tensor_fails_alone_and_is_named(server: Server, model: str) -> None:
    reply = infer(server, model, tensor(datatype="FP9"))
    assert "Input 'x' has the datatype 'FP9'" in error_of(reply, 400)
    reply = infer(server, model, outputs=[{"name": "z"}])
    assert "'z'" in error_of(reply, 400)


def test_a_name_is_read_percent_encoded(server: Server, model: str) -> None:
    name = f"{os.getpid()} ä.1"
    if not (server.store / "tensors").exists():
        raise AssertionError("the store has the model")
    with server.registered("tensors", model_name=name):
        path = "/v2/models/" + "".join(f"%{byte:02X}" for byte in name.encode())
        assert server.inference.get(path + "/ready").json()["name"] == name
        reply = server.inference.post_json(path + "/infer", {"inputs": [tensor()]})
        assert reply.json()["model_name"] == name


def test_triton_s_client_gets_what_it_sends_in_every_form(server: Server, model: str) -> None:
    triton = pytest.importorskip(
        "tritonclient.http", reason="tritonclient comes with the extra test"
    )
    client = triton.InferenceServerClient(f"127.0.0.1:{server.inference.address.port}")
    assert client.is_server_live() and client.is_model_ready(model)
    for datatype, array in (
        ("BOOL", np.array([[True, False]])),
        ("UINT64", np.array([2**64 - 1, 0], np.uint64)),
        ("FP16", np.array([1.5], np.float16)),
        ("FP64", np.random.default_rng(1).random((2, 500))),
        ("BYTES", np.array([b"a", b"", b"bcd"], object)),
    ):
        asked = triton.InferInput("x", list(array.shape), datatype)
        for is_binary, coding in ((True, None), (False, "gzip"), (True, "deflate")):
            if datatype == "FP16" and not is_binary:
                # Its client refuses that itself.
                continue
            asked.set_data_from_numpy(array, binary_data=is_binary)
            outputs = [triton.InferRequestedOutput("x", binary_data=True)]
            answer = client.infer(
                *(model, [asked]),
                outputs=outputs if coding else None,
                request_id="7",
                timeout=60_000_000,
                priority=1,
                request_compression_algorithm=coding,
                response_compression_algorithm=coding,
            )
            assert answer.as_numpy("x").tolist() == array.tolist()
            assert answer.get_response()["id"] == "7"
    client.close()


def test_headers_that_a_handler_sets_go_out_with_its_tensors(server: Server, model: str) -> None:
    reply = infer(server, model, parameters={"header": "scorer 7"})
    assert (reply.status, reply.header("x-scored-by")) == (200, "scorer 7")
    assert reply.header("content-type") == "application/json"
    assert infer(server, model).header("x-scored-by") is None
