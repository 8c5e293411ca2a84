"""BentoML: Starlette in front; batches are put together by its predictive dispatcher."""

from __future__ import annotations

import json

from benchmarks import real_models
from benchmarks.deployment import Answer, Deployment, PeerRequest
from benchmarks.http_client import HOST, is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    Peer,
    base64_request,
    copy_models,
    digits_request,
    json_request,
    tuned_environment,
    work_environment,
)
from benchmarks.server import Launch, Site


class BentoML(Peer):
    name = "bentoml"
    title = "BentoML"
    front = "Python (uvicorn, Starlette)"
    package = "bentoml"
    requirements = ("bentoml==1.4.39",)
    tuning = "2 workers, max_batch_size 32 (its batcher chooses the wait), OMP_NUM_THREADS = cores / workers"
    note = "JSON with a list of one string; it has no delay to set, its batcher predicts"

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        app = copy_models(site, "bentoml_app.py")
        command = [self.venv.command("bentoml"), "serve", "bentoml_app:Bench"]
        command += ["--working-dir", str(app), "--host", HOST, "--port", str(site.port)]
        environment = work_environment(deployment, self.venv, site)
        environment |= tuned_environment(deployment)
        environment["BENTOML_HOME"] = str(site.folder / "bentoml")
        environment["BENTOML_DO_NOT_TRACK"] = "True"
        environment["PYTHONPATH"] = str(app)
        return Launch(command, environment)

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/readyz")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind in real_models.KINDS:
            return self.carry(deployment, real_models.bodies(deployment.work.kind)[0])
        if deployment.work.kind == "digits":
            return digits_request("/predict", '{"inputs": [{"image": %s}]}')
        return json_request("/predict", '{"inputs": ["%s"]}', body_bytes)

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        return base64_request("/predict", '{"inputs": ["%s"]}', body)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind in real_models.KINDS:
            return real_models.is_right(deployment.work.kind, answer)
        right = {"digit": DIGITS_ANSWER} if deployment.work.kind == "digits" else "OK"
        return bool(json.loads(answer.body) == [right])
