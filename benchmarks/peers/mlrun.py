"""MLRun's v2 serving: its graph server as its function for Nuclio runs it, behind uvicorn.

Nuclio's processor is a program in Go that no package index has. It hands each request to a Python process, one at a
time; here uvicorn is in that very process, which spares the hop.
"""

from __future__ import annotations

import json
from typing import Final

from benchmarks.deployment import Answer, Deployment, Load, PeerRequest
from benchmarks.http_client import is_answered
from benchmarks.mlrun_requests import MODELS, infer_request, is_inferred, model_spec
from benchmarks.peers.peer import Peer, copy_models, json_request, work_environment
from benchmarks.server import Launch, Site

_WORK: Final = "infer-class"
#: Reads tables of Iguazio's platform. It pins a grpcio-tools without a wheel for Python 3.11, which compiles for longer
#: than anybody waits. `models/mlrun_app.py` stands in for its names.
_LEFT_OUT: Final = ("v3io-frames",)


class MLRun(Peer):
    name = "mlrun"
    title = "MLRun v2 serving"
    front = "Python (uvicorn in place of Nuclio)"
    package = "mlrun"
    requirements = (
        *("mlrun==1.7.2", "setuptools<81"),
        *("uvicorn==0.34.0", "httptools==0.6.4", "uvloop==0.21.0"),
    )
    note = "MLRun's v2 JSON; without the package v3io-frames, which serving does not use"
    # Its own imports take seconds, and ten times as long on a busy machine.
    ready_timeout_s = 120.0
    has_batching = False

    def install(self) -> None:
        # It has no classifier of digits, nor what that needs.
        self.venv.ensure(self.requirements, without=_LEFT_OUT)

    def refuses(self, deployment: Deployment, load: Load | None) -> str | None:
        if deployment.work.kind != _WORK:
            return "it has models of its own contract alone"
        return super().refuses(deployment, load)

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        file, *_ = MODELS[_WORK]
        app = copy_models(site, "mlrun_app.py", file)
        command = [self.venv.command("uvicorn"), "mlrun_app:app", "--app-dir", str(app)]
        command += ["--host", "127.0.0.1", "--port", str(site.port), "--no-access-log"]
        command += ["--workers", str(deployment.workers)]
        environment = work_environment(deployment, self.venv, site)
        environment |= {"SERVING_SPEC_ENV": model_spec(), "BENCH_MODULE": file.removesuffix(".py")}
        return Launch(command, environment)

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.port, "/")

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind == _WORK:
            return infer_request(_WORK)
        return json_request(MODELS[_WORK][3], '{"inputs": ["%s"]}', body_bytes)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind == _WORK:
            return is_inferred(answer)
        return bool(json.loads(answer.body)["outputs"])
