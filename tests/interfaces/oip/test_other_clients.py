"""The clients of KServe and of the Open Inference working group, each in a Python that has it and nothing of ours, and
those calls of Triton's that other tests do not make.

KSERVE_PYTHON names a Python that has kserve 0.21, OPEN_INFERENCE_PYTHON one that has open-inference-openapi,
open-inference-grpc and protobuf.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.processes import free_port
from support.server import Server

CLIENTS = Path(__file__).parent / "clients"
KSERVE = os.environ.get("KSERVE_PYTHON", "")
OPEN_INFERENCE = os.environ.get("OPEN_INFERENCE_PYTHON", "")
LIMIT_S = 120.0

HANDLER = """
def handle(data, context):
    return [{"y": item["inputs"]["x"] * 2} for item in data or ()]
"""
DECLARED = """
oip:
  inputs: [{name: x, datatype: FP32, shape: [-1]}]
  outputs: [{name: y, datatype: FP32, shape: [-1]}]
"""
EXPLAINED = """
class Model:
    def predict(self, inputs, parameters):
        return {"y": inputs["input_0"] + 1}

    def explain(self, inputs, parameters):
        return {"y": inputs["input_0"] * 10}
"""
X = {"name": "x", "datatype": "FP32", "shape": [-1]}
ANSWER = {"name": "y", "datatype": "FP32", "shape": [2], "data": [3.0, 4.0]}
NOBODY = "Model not found: nobody"
WRONG = "Unknown input 'z'; the model has x."


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    server = Server(
        tmp_path_factory.mktemp("clients"),
        {"grpc_address": f"grpc://127.0.0.1:{port}", "load_models": "double,why"}
        | {"default_workers_per_model": "1"},
    )
    folder = write_model(server, "double", "handle", HANDLER)
    (folder / "model-config.yaml").write_text(DECLARED)
    write_model(server, "why", "Model", EXPLAINED)
    server.grpc_target = f"127.0.0.1:{port}"  # type: ignore[attr-defined]
    server.start()
    yield server
    server.stop()


def write_model(server: Server, name: str, entry_point: str, source: str) -> Path:
    folder = server.store / name
    (folder / "MAR-INF").mkdir(parents=True)
    model = {"modelName": name, "modelVersion": "1", "handler": f"service:{entry_point}"}
    (folder / "MAR-INF" / "MANIFEST.json").write_text(
        json.dumps({"runtime": "python", "model": model})
    )
    (folder / "service.py").write_text(source)
    return folder


def url(served: Server) -> str:
    return f"http://127.0.0.1:{served.inference.address.port}"


def target(served: Server) -> str:
    return str(served.grpc_target)  # type: ignore[attr-defined]


def ask(python: str, script: str, *arguments: str) -> Any:
    """What the calls of a script of clients/ have given."""
    ended = subprocess.run(
        [python, str(CLIENTS / script), *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


needs_kserve = pytest.mark.skipif(not KSERVE, reason="KSERVE_PYTHON names no Python with kserve")
needs_open_inference = pytest.mark.skipif(
    not OPEN_INFERENCE, reason="OPEN_INFERENCE_PYTHON names no Python with the clients"
)


@needs_kserve
def test_every_call_of_kserves_clients_is_answered(served: Server) -> None:
    rest, grpc, first = ask(KSERVE, "kserve_calls.py", url(served), target(served))
    good = {
        **dict.fromkeys(("live", "ready", "model ready"), True),
        **dict.fromkeys(("infer", "binary infer"), ["7", "double", {"y": [3.0, 4.0]}]),
        "nobody ready": False,
    }
    assert rest == {**good, "nobody infer": [404, NOBODY], "wrong infer": [400, WRONG]}
    assert grpc == {
        **good,
        "nobody infer": ["NOT_FOUND", NOBODY],
        "wrong infer": ["INVALID_ARGUMENT", WRONG],
    }
    explained = first.pop("explain")
    assert (explained[0], "explanations" in explained[1]) == (501, True)
    assert first == {
        "model ready": True,
        "infer": {"predictions": [3.0, 4.0]},
        "why infer": {"predictions": [2.5, 3.0]},
        "why": {"explanations": [15.0, 20.0]},
        **dict.fromkeys(("nobody ready", "nobody infer"), [404, NOBODY]),
    }


@needs_open_inference
def test_every_call_of_the_generated_rest_client_is_answered(served: Server) -> None:
    blocking, asynchronous = ask(OPEN_INFERENCE, "openapi_calls.py", url(served))
    assert asynchronous == blocking
    checks = ("live", "ready", "model ready", "version ready")
    assert {name: blocking.pop(name) for name in checks} == dict.fromkeys(checks)
    assert "binary_tensor_data" in blocking.pop("server")["extensions"]
    for name in ("model", "version"):
        metadata = blocking.pop(name)
        assert (metadata["versions"], metadata["inputs"]) == (["1"], [X])
    for name in ("infer", "version infer"):
        answer = blocking.pop(name)
        assert (answer["id"], answer["outputs"]) == ("7", [ANSWER])
    nobody = [404, {"error": NOBODY}]
    assert blocking == {
        **dict.fromkeys(("nobody ready", "nobody", "nobody infer"), nobody),
        "wrong infer": [400, {"error": WRONG}],
    }


@needs_open_inference
def test_every_call_of_the_generated_grpc_client_is_answered(served: Server) -> None:
    found = ask(OPEN_INFERENCE, "grpc_calls.py", target(served))
    assert found.pop("live") == {"live": True}
    assert found.pop("ready") == found.pop("model ready") == {"ready": True}
    assert found.pop("server")["name"]
    assert found.pop("model")["inputs"] == [{**X, "shape": ["-1"]}]
    (output,) = found.pop("infer")["outputs"]
    assert output["contents"] == {"fp32Contents": [3.0, 4.0]}
    assert found == {
        "nobody ready": {},
        **dict.fromkeys(("nobody", "nobody infer"), ["NOT_FOUND", NOBODY]),
        "wrong infer": ["INVALID_ARGUMENT", WRONG],
    }


def triton_input(module: Any) -> Any:
    array = np.array([1.5, 2], np.float32)
    given = module.InferInput("x", [2], "FP32")
    given.set_data_from_numpy(array)
    return given


def test_tritons_client_of_http_asks_in_greenlets_and_makes_bodies_for_others(
    served: Server,
) -> None:
    triton = pytest.importorskip(
        "tritonclient.http", reason="tritonclient comes with the extra test"
    )
    with triton.InferenceServerClient(url(served).removeprefix("http://")) as client:
        asked = client.async_infer("double", [triton_input(triton)])
        assert asked.get_result().as_numpy("y").tolist() == [3, 4]
    make, read = (
        triton.InferenceServerClient.generate_request_body,
        triton.InferenceServerClient.parse_response_body,
    )
    body, length = make([triton_input(triton)])
    headers = {"Inference-Header-Content-Length": str(length)}
    reply = served.inference.post("/v2/models/double/infer", body, headers=headers)
    length = int(reply.header("Inference-Header-Content-Length"))
    assert read(reply.body, header_length=length).as_numpy("y").tolist() == [3, 4]


#: What the clients of asyncio are refused, and by which word.
REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    ("get_trace_settings", (), "trace settings"),
    ("update_trace_settings", ("double", {"trace_level": ["OFF"]}), "trace settings"),
    ("get_log_settings", (), "log settings"),
    ("update_log_settings", ({"log_info": True},), "log settings"),
    ("get_system_shared_memory_status", (), "system shared memory"),
    ("register_system_shared_memory", ("r", "/k", 8), "system shared memory"),
    ("unregister_system_shared_memory", (), "system shared memory"),
    ("get_cuda_shared_memory_status", (), "CUDA shared memory"),
    ("register_cuda_shared_memory", ("r", b"aGFuZGxl", 0, 8), "CUDA shared memory"),
    ("unregister_cuda_shared_memory", (), "CUDA shared memory"),
]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tritons_clients_of_asyncio_load_and_unload_and_are_refused_by_name(
    served: Server, protocol: str
) -> None:
    module = pytest.importorskip(
        f"tritonclient.{protocol}.aio", reason="tritonclient comes with the extra test"
    )
    from tritonclient.utils import InferenceServerException

    address = target(served) if protocol == "grpc" else url(served).removeprefix("http://")

    async def ask_all() -> None:
        async with module.InferenceServerClient(address) as client:
            await client.unload_model("double")
            assert not await client.is_model_ready("double")
            await client.load_model("double")
            assert await client.is_model_ready("double", "1")
            for name, arguments, words in REFUSED:
                with pytest.raises(InferenceServerException, match=words):
                    await getattr(client, name)(*arguments)

    asyncio.run(ask_all())
