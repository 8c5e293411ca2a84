"""MLServer: FastAPI in front, a pool of inference processes behind multiprocessing queues."""

from __future__ import annotations

import json

from benchmarks.deployment import Answer, Deployment, PeerRequest
from benchmarks.http_client import HOST, is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    DIGITS_IMAGE,
    JSON,
    Peer,
    copy_models,
    json_request,
    work_environment,
)
from benchmarks.server import Launch, Site

_PATH = "/v2/models/bench/infer"
_TEMPLATE = '{"inputs": [{"name": "body", "shape": [1], "datatype": "BYTES", "data": ["%s"]}]}'


class MLServer(Peer):
    name = "mlserver"
    title = "MLServer"
    front = "Python (uvicorn, FastAPI)"
    package = "mlserver"
    # Newer uvloops lack a name that it imports.
    requirements = ("mlserver==1.7.1", "uvloop<0.22")
    note = "OIP v2 JSON with the body as one string"

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
        if deployment.batch_size > 1:
            model_settings["max_batch_size"] = deployment.batch_size
            model_settings["max_batch_time"] = deployment.batch_delay_ms / 1000
        (app / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        (app / "model-settings.json").write_text(json.dumps(model_settings), encoding="utf-8")
        environment = work_environment(deployment, self.venv, site)
        environment["PYTHONPATH"] = str(app)
        return Launch([self.venv.command("mlserver"), "start", str(app)], environment)

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/v2/health/ready")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind != "digits":
            return json_request(_PATH, _TEMPLATE, body_bytes)
        tensor = {"name": "body", "shape": [1, 64], "datatype": "FP64", "data": DIGITS_IMAGE}
        return PeerRequest(
            (_PATH,), json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": JSON}
        )

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        right = [DIGITS_ANSWER] if deployment.work.kind == "digits" else ["OK"]
        return bool(json.loads(answer.body)["outputs"][0]["data"] == right)
