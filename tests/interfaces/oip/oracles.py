"""Servers that answers are compared with: Triton's, MLServer's and KServe's own, started with models, and stopped.

Each is in a Python of its own, which a variable names, and has nothing of ours.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support.processes import free_port
from support.waiting import eventually

TRITON = os.environ.get("TRITON_PYTHON", "")
MLSERVER = os.environ.get("MLSERVER_PYTHON", "")
KSERVE = os.environ.get("KSERVE_PYTHON", "")
_START_S = 60.0
#: numpy's type by Triton's name for a datatype.
_TRITON_NAMES = {"BYTES": "STRING"}
DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
)

TRITON_MODEL = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            tensors = [
                pb_utils.Tensor("out_" + each.name(), each.as_numpy())
                for each in request.inputs()
                if "out_" + each.name() in request.requested_output_names()
            ]
            answers.append(pb_utils.InferenceResponse(tensors))
        return answers
"""
MLSERVER_MODEL = """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Echo(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        outputs = [
            NumpyCodec.encode_output("out_" + each.name, NumpyCodec.decode_input(each))
            for each in payload.inputs
        ]
        return InferenceResponse(
            id=payload.id, model_name=self.name, model_version=self.version, outputs=outputs
        )
"""
#: The same as a handler of this server.
HANDLER = """
def handle(data, context):
    return [
        {"out_" + name: array for name, array in item["inputs"].items()} for item in data or ()
    ]
"""


class Addresses(NamedTuple):
    """`rest`: with its scheme. `grpc`: host and port."""

    rest: str
    grpc: str


def write_triton_models(repository: Path) -> None:
    """Write a model for each datatype that gives back its input of two dimensions, and `pair`, which has two."""
    models = {datatype: [datatype] for datatype in DATATYPES} | {"pair": ["FP32", "INT64"]}
    for model, datatypes in models.items():
        folder = repository / model / "1"
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(TRITON_MODEL)
        text = f'name: "{model}"\nbackend: "python"\ninstance_group [ {{ kind: KIND_CPU }} ]\n'
        for place, datatype in enumerate(datatypes):
            rest = f"data_type: TYPE_{_TRITON_NAMES.get(datatype, datatype)} dims: [ -1, -1 ]"
            text += (
                f'input {{ name: "x{place}" {rest} }}\noutput {{ name: "out_x{place}" {rest} }}\n'
            )
        (repository / model / "config.pbtxt").write_text(text)


def write_mlserver_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "echo_model.py").write_text(MLSERVER_MODEL)
    settings: dict[str, Any] = {"name": "echo", "implementation": "echo_model.Echo"}
    settings["parameters"] = {"version": "1"}
    (folder / "model-settings.json").write_text(json.dumps(settings))
    return folder


def write_handler(folder: Path) -> None:
    (folder / "MAR-INF").mkdir(parents=True)
    model = {"modelName": "echo", "handler": "service:handle"}
    (folder / "MAR-INF" / "MANIFEST.json").write_text(
        json.dumps({"runtime": "python", "model": model})
    )
    (folder / "service.py").write_text(HANDLER)


@contextmanager
def triton(repository: Path) -> Iterator[Addresses]:
    """Run the server of `nvidia-pytriton`."""
    packages, library = _asked(
        TRITON, "import sysconfig as s; print(s.get_path('purelib'), s.get_config_var('LIBDIR'))"
    )
    home = Path(packages) / "pytriton" / "tritonserver"
    port, grpc_port = free_port(), free_port()
    command = [str(home / "bin" / "tritonserver"), "--model-repository", str(repository)]
    command += ["--backend-directory", str(home / "backends"), "--http-address", "127.0.0.1"]
    command += ["--http-port", str(port), "--grpc-address", "127.0.0.1"]
    command += ["--grpc-port", str(grpc_port), "--allow-metrics=false"]
    command.append(f"--backend-config=python,shm-region-prefix-name=oracle{port}_")
    variables = {
        "PATH": f"{Path(TRITON).parent}:{os.environ['PATH']}",
        "PYTHONPATH": packages,
        "LD_LIBRARY_PATH": library,
    }
    with _running(command, repository.parent, variables, port) as address:
        yield Addresses(address, f"127.0.0.1:{grpc_port}")


@contextmanager
def mlserver(folder: Path) -> Iterator[Addresses]:
    port, grpc_port = free_port(), free_port()
    settings = {"host": "127.0.0.1", "http_port": port, "parallel_workers": 0}
    settings |= {"grpc_port": grpc_port, "metrics_port": free_port()}
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [str(Path(MLSERVER).parent / "mlserver"), "start", str(folder)]
    variables = {
        "PATH": f"{Path(MLSERVER).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
    }
    with _running(command, folder, variables, port) as address:
        yield Addresses(address, f"127.0.0.1:{grpc_port}")


@contextmanager
def kserve(folder: Path) -> Iterator[Addresses]:
    """Run KServe's server with a model that gives back its inputs."""
    folder.mkdir(parents=True)
    port, grpc_port = free_port(), free_port()
    script = Path(__file__).parent / "clients" / "kserve_server.py"
    command = [KSERVE, str(script), str(port), str(grpc_port)]
    with _running(command, folder, {"PATH": os.environ["PATH"]}, port) as address:
        yield Addresses(address, f"127.0.0.1:{grpc_port}")


def _asked(python: str, code: str) -> list[str]:
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.split()


@contextmanager
def _running(
    command: Sequence[str], folder: Path, variables: dict[str, str], port: int
) -> Iterator[str]:
    address = f"http://127.0.0.1:{port}"
    log = folder / "oracle.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"HOME": os.environ.get("HOME", "/"), **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(
            f"{command[0]} is up",
            lambda: process.poll() is not None or _is_ready(f"{address}/v2/health/ready"),
            _START_S,
            0.1,
        )
        assert process.poll() is None, log.read_text()[-3000:]
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
