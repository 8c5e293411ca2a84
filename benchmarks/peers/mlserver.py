"""MLServer: FastAPI in front, a pool of inference processes behind multiprocessing queues."""

from __future__ import annotations

import json

from benchmarks import real_models
from benchmarks.deployment import Answer, Deployment, Load, PeerRequest
from benchmarks.http_client import HOST, ask, is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    DIGITS_IMAGE,
    JSON,
    Peer,
    base64_request,
    copy_models,
    json_request,
    tuned_environment,
    work_environment,
)
from benchmarks.server import Launch, ServerFailed, Site
from benchmarks.tensor_requests import TENSORS, is_tensor, tensor_request

_LOAD_TIMEOUT_S = 60.0
_PATH = "/v2/models/bench/infer"
_TEMPLATE = '{"inputs": [{"name": "body", "shape": [1], "datatype": "BYTES", "data": ["%s"]}]}'


class MLServer(Peer):
    name = "mlserver"
    title = "MLServer"
    front = "Python (uvicorn, FastAPI)"
    package = "mlserver"
    # Newer uvloops lack a name that it imports.
    requirements = ("mlserver==1.7.1", "uvloop<0.22")
    tuning = "2 parallel workers, max_batch_size 32, max_batch_time 5 ms, OMP_NUM_THREADS = cores / workers"
    note = "OIP v2 JSON with the body as one string"

    def refuses(self, deployment: Deployment, load: Load | None) -> str | None:
        # Models are loaded while it runs, and none is registered then.
        return None if deployment.on_demand else super().refuses(deployment, load)

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        app = copy_models(site, "mlserver_model.py")
        settings = {
            "host": HOST,
            "http_port": site.port,
            "grpc_port": site.spare_ports[0],
            "metrics_port": site.spare_ports[1],
            "parallel_workers": deployment.workers,
        }
        model_settings: dict[str, object] = {
            "name": "bench",
            "implementation": "mlserver_model.Bench",
        }
        if deployment.on_demand:
            settings["load_models_at_startup"] = False
        if deployment.batch_size > 1:
            model_settings["max_batch_size"] = deployment.batch_size
            model_settings["max_batch_time"] = deployment.batch_delay_ms / 1000
        (app / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        for name in deployment.model_names():
            folder = app / name if deployment.on_demand else app
            folder.mkdir(exist_ok=True)
            text = json.dumps({**model_settings, "name": name})
            (folder / "model-settings.json").write_text(text, encoding="utf-8")
        environment = work_environment(deployment, self.venv, site)
        environment |= tuned_environment(deployment)
        environment["PYTHONPATH"] = str(app)
        return Launch([self.venv.command("mlserver"), "start", str(app)], environment)

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/v2/health/ready")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind in real_models.KINDS:
            return self.carry(deployment, real_models.bodies(deployment.work.kind)[0])
        if deployment.work.kind in TENSORS:
            return tensor_request(deployment.work.kind, body_bytes)
        if deployment.work.kind not in ("digits", "classifier"):
            return json_request(_PATH, _TEMPLATE, body_bytes)
        paths = tuple(f"/v2/models/{name}/infer" for name in deployment.used_model_names())
        tensor = {"name": "body", "shape": [1, 64], "datatype": "FP64", "data": DIGITS_IMAGE}
        return PeerRequest(paths, json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": JSON})

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        return base64_request(_PATH, _TEMPLATE, body)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind in real_models.KINDS:
            return real_models.is_right(deployment.work.kind, answer)
        if deployment.work.kind == "classifier":
            return bool(_result(answer)["digit"] == DIGITS_ANSWER)
        if deployment.work.kind in TENSORS:
            return is_tensor(deployment.work.kind, answer)
        right = [DIGITS_ANSWER] if deployment.work.kind == "digits" else ["OK"]
        return bool(json.loads(answer.body)["outputs"][0]["data"] == right)

    def load_model(self, name: str, site: Site) -> None:
        self._manage(name, "load", site)

    def unload_model(self, name: str, site: Site) -> None:
        self._manage(name, "unload", site)

    def loaded_at_s(self, answer: Answer) -> float:
        return float(_result(answer)["loaded_at"])

    def _manage(self, name: str, what: str, site: Site) -> None:
        path = f"/v2/repository/models/{name}/{what}"
        answer = ask(site.port, "POST", path, b"{}", {"Content-Type": JSON}, _LOAD_TIMEOUT_S)
        if answer.status != 200:
            raise ServerFailed(f"{self.title}: POST {path}: {answer.status} {answer.body[:300]!r}")


def _result(answer: Answer) -> dict[str, float]:
    result: dict[str, float] = json.loads(json.loads(answer.body)["outputs"][0]["data"][0])
    return result
