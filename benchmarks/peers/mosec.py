"""mosec: a front in Rust, workers in Python over a Unix socket."""

from __future__ import annotations

import json

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
    work_environment,
)
from benchmarks.server import Launch, Site


class Mosec(Peer):
    name = "mosec"
    title = "mosec"
    front = "Rust (axum)"
    package = "mosec"
    requirements = ("mosec==0.9.8",)

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        app = copy_models(site, "mosec_app.py") / "mosec_app.py"
        command = [str(self.venv.python), str(app), "--address", HOST, "--port", str(site.port)]
        command += ["--capacity", str(QUEUE_CAPACITY), "--timeout", str(REQUEST_TIMEOUT_S * 1000)]
        command += ["--max-request-size", str(BODY_LIMIT_BYTES)]
        command += ["--path", str(site.folder / "ipc")]
        return Launch(command, work_environment(deployment, self.venv, site))

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind == "digits":
            return digits_request("/inference")
        return PeerRequest(("/inference",), b"x" * body_bytes, {"Content-Type": OCTETS})

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind == "digits":
            return bool(json.loads(answer.body) == {"digit": DIGITS_ANSWER})
        return answer.body == b"OK"
