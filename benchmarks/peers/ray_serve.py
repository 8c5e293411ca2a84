"""Ray Serve: a proxy actor in Python in front of replica actors, on a one-node cluster."""

from __future__ import annotations

import json

from benchmarks import real_models
from benchmarks.deployment import Answer, Deployment, PeerRequest
from benchmarks.http_client import is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    OCTETS,
    Peer,
    copy_models,
    digits_request,
    octets_request,
    tuned_environment,
    work_environment,
)
from benchmarks.server import Launch, Site


class RayServe(Peer):
    name = "ray"
    title = "Ray Serve"
    front = "Python (uvicorn, Starlette) over Ray actors"
    package = "ray"
    requirements = ("ray[serve]==2.60.0",)
    tuning = (
        "2 replicas of 1 CPU each, @serve.batch of 32 with 5 ms, OMP_NUM_THREADS = cores / replicas"
    )
    ready_timeout_s = 120.0

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        app = copy_models(site, "ray_app.py") / "ray_app.py"
        environment = work_environment(deployment, self.venv, site)
        environment |= tuned_environment(deployment)
        environment["BENCH_RAY_FOLDER"] = str(site.folder / "ray")
        environment["RAY_USAGE_STATS_ENABLED"] = "0"
        environment["PYTHONPATH"] = str(app.parent)
        return Launch([str(self.venv.python), str(app)], environment)

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/-/healthz")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind in real_models.KINDS:
            return self.carry(deployment, real_models.bodies(deployment.work.kind)[0])
        if deployment.work.kind == "digits":
            return digits_request("/")
        return PeerRequest(("/",), b"x" * body_bytes, {"Content-Type": OCTETS})

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        return octets_request("/", body)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind in real_models.KINDS:
            return real_models.is_right(deployment.work.kind, answer)
        if deployment.work.kind == "digits":
            return bool(json.loads(answer.body) == {"digit": DIGITS_ANSWER})
        return answer.body == b"OK"
