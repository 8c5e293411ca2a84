"""Seldon Core's Python wrapper (v1): Flask under gunicorn."""

from __future__ import annotations

import json

from benchmarks.deployment import Answer, Deployment, PeerRequest
from benchmarks.http_client import is_answered
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    DIGITS_IMAGE,
    JSON,
    Peer,
    copy_models,
    json_request,
    work_environment,
)
from benchmarks.seldon_requests import is_identity, rest_request
from benchmarks.server import Launch, Site

_PATH = "/api/v1.0/predictions"


class Seldon(Peer):
    name = "seldon"
    title = "Seldon Core wrapper"
    front = "Python (gunicorn, Flask)"
    package = "seldon-core"
    requirements = ("seldon-core==1.17.1", "setuptools<81")
    note = "JSON strData; digits as JSON ndarray"
    has_batching = False

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        is_identity_work = deployment.work.kind == "identity"
        name = "IdentityComponent" if is_identity_work else "SeldonModel"
        app = copy_models(site, f"{name}.py")
        command = [self.venv.command("seldon-core-microservice"), f"{name}.{name}"]
        command += ["--service-type", "MODEL", "--workers", str(deployment.workers)]
        command += ["--grpc-workers", str(deployment.workers if is_identity_work else 1)]
        for option, port in zip(
            ("--http-port", "--grpc-port", "--metrics-port"),
            (site.port, *site.spare_ports),
            strict=False,
        ):
            command += [option, str(port)]
        environment = work_environment(deployment, self.venv, site)
        environment["PYTHONPATH"] = str(app)
        return Launch(command, environment)

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/health/status")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind == "identity":
            return rest_request(_PATH, deployment.work.rows)
        if deployment.work.kind != "digits":
            return json_request(_PATH, '{"strData": "%s"}', body_bytes)
        body = json.dumps({"data": {"ndarray": [DIGITS_IMAGE]}}).encode()
        return PeerRequest((_PATH,), body, {"Content-Type": JSON})

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind == "identity":
            return is_identity(answer, deployment.work.rows)
        parsed = json.loads(answer.body)
        if deployment.work.kind == "digits":
            return bool(parsed["data"]["ndarray"] == [DIGITS_ANSWER])
        return bool(parsed["strData"] == "OK")
