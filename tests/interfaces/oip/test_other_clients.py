"""The clients of KServe and of the Open Inference working group, each in a Python that has it and nothing of ours.

KSERVE_PYTHON names one that has kserve 0.21, OPEN_INFERENCE_PYTHON one that has open-inference-openapi,
open-inference-grpc and protobuf. tritonclient is among the tests' own packages, and has its tests elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
X = {"name": "x", "datatype": "FP32", "shape": [-1]}
ANSWER = {"name": "y", "datatype": "FP32", "shape": [2], "data": [3.0, 4.0]}
NOBODY = "Model not found: nobody"
WRONG = "Unknown input 'z'; the model has x."


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    server = Server(
        tmp_path_factory.mktemp("clients"),
        {"grpc_address": f"grpc://127.0.0.1:{port}", "load_models": "double"}
        | {"default_workers_per_model": "1"},
    )
    folder = server.store / "double"
    (folder / "MAR-INF").mkdir(parents=True)
    model = {"modelName": "double", "modelVersion": "1", "handler": "service:handle"}
    (folder / "MAR-INF" / "MANIFEST.json").write_text(
        json.dumps({"runtime": "python", "model": model})
    )
    (folder / "service.py").write_text(HANDLER)
    (folder / "model-config.yaml").write_text(DECLARED)
    server.grpc_target = f"127.0.0.1:{port}"  # type: ignore[attr-defined]
    server.start()
    yield server
    server.stop()


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
    rest, grpc = ask(KSERVE, "kserve_calls.py", url(served), target(served))
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
