"""mosec: a front in Rust, workers in Python over a Unix socket."""

from __future__ import annotations

import json

from benchmarks import real_models
from benchmarks.deployment import (
    BODY_LIMIT_BYTES,
    QUEUE_CAPACITY,
    REQUEST_TIMEOUT_S,
    Answer,
    Deployment,
    PeerRequest,
)
from benchmarks.http_client import HOST, is_answered
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


class Mosec(Peer):
    name = "mosec"
    title = "mosec"
    front = "Rust (axum)"
    package = "mosec"
    requirements = ("mosec==0.9.8",)
    tuning = (
        "2 processes, max_batch_size 32, max_wait_time 5 ms, OMP_NUM_THREADS = cores / processes"
    )

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        app = copy_models(site, "mosec_app.py") / "mosec_app.py"
        command = [str(self.venv.python), str(app), "--address", HOST, "--port", str(site.port)]
        command += ["--capacity", str(QUEUE_CAPACITY), "--timeout", str(REQUEST_TIMEOUT_S * 1000)]
        command += ["--max-request-size", str(BODY_LIMIT_BYTES)]
        command += ["--path", str(site.folder / "ipc")]
        environment = work_environment(deployment, self.venv, site)
        return Launch(command, {**environment, **tuned_environment(deployment)})

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind in real_models.KINDS:
            return self.carry(deployment, real_models.bodies(deployment.work.kind)[0])
        if deployment.work.kind == "digits":
            return digits_request("/inference")
        return PeerRequest(("/inference",), b"x" * body_bytes, {"Content-Type": OCTETS})

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        return octets_request("/inference", body)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind in real_models.KINDS:
            return real_models.is_right(deployment.work.kind, answer)
        if deployment.work.kind == "digits":
            return bool(json.loads(answer.body) == {"digit": DIGITS_ANSWER})
        return answer.body == b"OK"
