"""Triton's Python backend: a front in C++, models in stub processes over shared memory.

The server binary is the one inside NVIDIA's PyPI package nvidia-pytriton; its Python front end is not used.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks import real_models
from benchmarks.deployment import Answer, Deployment, PeerRequest, WorkKind
from benchmarks.http_client import HOST, is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    DIGITS_IMAGE,
    OCTETS,
    Peer,
    copy_models,
    tuned_environment,
    work_environment,
)
from benchmarks.server import Launch, Site
from benchmarks.tensor_requests import COLUMNS, TENSORS, is_tensor, tensor_request

_PATH = "/v2/models/bench/infer"
_LENGTH_HEADER = "Inference-Header-Content-Length"


class Triton(Peer):
    name = "triton"
    title = "Triton (Python backend)"
    front = "C++ (libevent)"
    package = "nvidia-pytriton"
    requirements = ("nvidia-pytriton==0.7.0",)
    tuning = (
        "Python backend, 2 instances, max_batch_size 32, dynamic batching with a delay of 5 ms, the body as one BYTES "
        "element, OMP_NUM_THREADS = cores / instances; its package has no ONNX backend"
    )
    note = "OIP v2 with the body as a binary UINT8 tensor"

    def obstacle(self) -> str | None:
        if sys.platform != "linux":
            return "its PyPI package has a server for Linux alone"
        library = Path(sysconfig.get_config_var("LIBDIR")) / _libpython()
        if not library.is_file():
            return (
                f"its stub needs {_libpython()}, and this Python has none (Debian: libpython3-dev)"
            )
        return None

    def version(self) -> str:
        return f"{self._server_version()} (nvidia-pytriton {super().version()})"

    def _server_version(self) -> str:
        # Nothing in the package tells it. The server does, before it ends for want of models.
        server = self._home() / "bin" / "tritonserver"
        command = [str(server), "--model-repository", str(self._home() / "no-models")]
        command += ["--allow-http=false", "--allow-grpc=false", "--allow-metrics=false"]
        finished = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
        )
        found = re.search(r"server_version +\| +(\S+)", finished.stdout + finished.stderr)
        return found[1] if found else "unknown"

    def install(self) -> None:
        super().install()
        home = self._home()
        stub = "triton_python_backend_stub"
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        shutil.copy(
            home / "python_backend_stubs" / version / stub, home / "backends" / "python" / stub
        )
        for program in (home / "bin" / "tritonserver", home / "backends" / "python" / stub):
            program.chmod(0o755)

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        repository = site.folder / "repository"
        model = repository / "bench"
        model.mkdir(parents=True)
        # The stub looks for modules beside the model, and heeds no PYTHONPATH for them.
        copy_models(site, "triton_model.py").rename(model / "1")
        (model / "1" / "triton_model.py").rename(model / "1" / "model.py")
        (model / "config.pbtxt").write_text(_config(deployment), encoding="utf-8")
        home = self._home()
        command = [str(home / "bin" / "tritonserver"), "--model-repository", str(repository)]
        command += ["--backend-directory", str(home / "backends")]
        command += ["--grpc-address", HOST, "--grpc-port", str(site.grpc_port)]
        command += ["--http-address", HOST, "--http-port", str(site.port)]
        command += ["--metrics-address", HOST, "--metrics-port", str(site.spare_ports[1])]
        command += [f"--backend-config=python,shm-region-prefix-name={_region_prefix(site)}"]
        environment = work_environment(deployment, self.venv, site)
        environment |= tuned_environment(deployment)
        environment["PYTHONPATH"] = str(self.venv.site_packages())
        environment["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
        return Launch(command, environment)

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/v2/health/ready")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind in TENSORS:
            return tensor_request(deployment.work.kind, body_bytes)
        if deployment.work.kind in real_models.KINDS:
            return self.carry(deployment, real_models.bodies(deployment.work.kind)[0])
        if deployment.work.kind == "digits":
            data, shape, datatype = struct.pack("<64d", *DIGITS_IMAGE), [1, 64], "FP64"
        else:
            data, shape, datatype = b"x" * body_bytes, [1, body_bytes], "UINT8"
        return _tensor_request(data, shape, datatype)

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        return _tensor_request(struct.pack("<I", len(body)) + body, [1, 1], "BYTES")

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind in real_models.KINDS:
            return real_models.is_right(deployment.work.kind, answer)
        if deployment.work.kind in TENSORS:
            return is_tensor(deployment.work.kind, answer)
        if deployment.work.kind == "digits":
            return answer.body.endswith(struct.pack("<q", DIGITS_ANSWER))
        return answer.body.endswith(struct.pack("<I", 2) + b"OK")

    def clean_up(self, site: Site) -> None:
        for region in Path("/dev/shm").glob(f"{_region_prefix(site)}*"):
            region.unlink(missing_ok=True)

    def _home(self) -> Path:
        return self.venv.site_packages() / "pytriton" / "tritonserver"


def _tensor_request(data: bytes, shape: list[int], datatype: str) -> PeerRequest:
    tensor = {
        "name": "body",
        "shape": shape,
        "datatype": datatype,
        "parameters": {"binary_data_size": len(data)},
    }
    outputs = [{"name": "answer", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    headers = {"Content-Type": OCTETS, _LENGTH_HEADER: str(len(head))}
    return PeerRequest((_PATH,), head + data, headers)


def _region_prefix(site: Site) -> str:
    return f"bench{site.port}_"


def _libpython() -> str:
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def _config(deployment: Deployment) -> str:
    kind: WorkKind = deployment.work.kind
    if kind in TENSORS:
        return f"""name: "bench"
backend: "python"
max_batch_size: 0
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ -1, {COLUMNS} ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ -1, {COLUMNS} ] }} ]
instance_group [ {{ count: {deployment.workers} kind: KIND_CPU }} ]
"""
    datatype, dims, answer_type = "TYPE_UINT8", -1, "TYPE_STRING"
    if kind == "digits":
        datatype, dims, answer_type = "TYPE_FP64", 64, "TYPE_INT64"
    elif kind in real_models.KINDS:
        datatype, dims = "TYPE_STRING", 1
    text = f"""name: "bench"
backend: "python"
max_batch_size: {deployment.batch_size}
input [ {{ name: "body" data_type: {datatype} dims: [ {dims} ] }} ]
output [ {{ name: "answer" data_type: {answer_type} dims: [ 1 ] }} ]
instance_group [ {{ count: {deployment.workers} kind: KIND_CPU }} ]
"""
    if deployment.batch_size > 1:
        delay_us = deployment.batch_delay_ms * 1000
        text += f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}\n"
    return text
