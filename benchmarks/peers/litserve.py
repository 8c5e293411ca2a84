"""LitServe: FastAPI in front, workers behind a multiprocessing queue."""

from __future__ import annotations

import json

from benchmarks.deployment import Answer, Deployment, PeerRequest
from benchmarks.http_client import is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    Peer,
    copy_models,
    digits_request,
    json_request,
    work_environment,
)
from benchmarks.server import Launch, Site


class LitServe(Peer):
    name = "litserve"
    title = "LitServe"
    front = "Python (uvicorn, FastAPI)"
    package = "litserve"
    requirements = ("litserve==0.2.17",)
    note = "JSON with the body as one string"

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        app = copy_models(site, "litserve_app.py") / "litserve_app.py"
        command = [str(self.venv.python), str(app)]
        return Launch(command, work_environment(deployment, self.venv, site))

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/health")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind == "digits":
            return digits_request("/predict")
        return json_request("/predict", '{"body": "%s"}', body_bytes)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind == "digits":
            return bool(json.loads(answer.body) == {"digit": DIGITS_ANSWER})
        return answer.body == b'"OK"'
