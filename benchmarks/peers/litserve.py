"""LitServe: FastAPI in front, workers behind a multiprocessing queue."""

from __future__ import annotations

import json

from benchmarks import real_models
from benchmarks.deployment import Answer, Deployment, PeerRequest
from benchmarks.http_client import is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    STREAM,
    Peer,
    base64_request,
    copy_models,
    digits_request,
    json_request,
    tuned_environment,
    work_environment,
)
from benchmarks.server import Launch, Site


class LitServe(Peer):
    name = "litserve"
    title = "LitServe"
    front = "Python (uvicorn, FastAPI)"
    package = "litserve"
    requirements = ("litserve==0.2.17",)
    tuning = "2 workers per device, max_batch_size 32, batch_timeout 5 ms, OMP_NUM_THREADS = cores / workers"
    note = "JSON with the body as one string"

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        app = copy_models(site, "litserve_app.py") / "litserve_app.py"
        command = [str(self.venv.python), str(app)]
        environment = work_environment(deployment, self.venv, site)
        return Launch(command, {**environment, **tuned_environment(deployment)})

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/health")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind in real_models.KINDS:
            return self.carry(deployment, real_models.bodies(deployment.work.kind)[0])
        if deployment.work.kind == "digits":
            return digits_request("/predict")
        return json_request("/predict", '{"body": "%s"}', body_bytes)

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        return base64_request("/predict", '{"body": "%s"}', body)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind in real_models.KINDS:
            return real_models.is_right(deployment.work.kind, answer)
        if deployment.work.kind == "digits":
            return bool(json.loads(answer.body) == {"digit": DIGITS_ANSWER})
        if deployment.work.kind == "stream":
            return answer.body == STREAM
        return answer.body == b'"OK"'
