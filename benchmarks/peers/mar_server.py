"""What the servers of model archives share: one API to register and scale, one way to predict."""

from __future__ import annotations

import json
import shutil
from abc import abstractmethod
from dataclasses import replace
from urllib.parse import urlencode

from benchmarks import real_models
from benchmarks.archives import ARCHIVE_NAME, build_archive
from benchmarks.deployment import (
    BODY_LIMIT_BYTES,
    QUEUE_CAPACITY,
    REQUEST_TIMEOUT_S,
    Answer,
    Deployment,
    PeerRequest,
)
from benchmarks.http_client import HOST, ask, is_answered, wait_until
from benchmarks.peers.peer import (
    DIGITS_ANSWER,
    OCTETS,
    STREAM,
    Peer,
    digits_request,
    octets_request,
    tuned_environment,
    work_environment,
)
from benchmarks.server import Launch, ServerFailed, Site

_REGISTRATION_TIMEOUT_S = 60.0


class MarServer(Peer):
    has_management = True

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        build_archive(site.folder / "store")
        config = site.folder / "config.properties"
        properties = {
            "inference_address": f"http://{HOST}:{site.port}",
            "management_address": f"http://{HOST}:{site.management_port}",
            "job_queue_size": str(QUEUE_CAPACITY),
            "max_request_size": str(BODY_LIMIT_BYTES),
            "default_response_timeout": self.response_timeout,
            **self.more_properties(site),
            **dict(deployment.options),
        }
        text = "".join(f"{key}={value}\n" for key, value in properties.items())
        config.write_text(text, encoding="utf-8")
        environment = work_environment(deployment, self.venv, site)
        environment |= self.tuned_environment(deployment)
        environment["LOG_LOCATION"] = environment["METRICS_LOCATION"] = str(site.folder / "logs")
        return Launch(self.command(site, str(config)), environment)

    def tuned_environment(self, deployment: Deployment) -> dict[str, str]:
        return tuned_environment(deployment)

    # In the unit of the server's own option.
    response_timeout = str(REQUEST_TIMEOUT_S)

    @abstractmethod
    def command(self, site: Site, config: str) -> list[str]: ...

    def more_properties(self, site: Site) -> dict[str, str]:
        return {}

    def is_ready(self, site: Site) -> bool:
        return is_answered(site.management_port, "/models") and is_answered(site.port, "/ping")

    def deploy(self, deployment: Deployment, site: Site) -> None:
        used = set(deployment.used_model_names())
        for name in deployment.model_names():
            has_workers = name in used and not deployment.on_demand
            self.register(name, deployment, deployment.workers if has_workers else 0, site)

    def register(self, name: str, deployment: Deployment, workers: int, site: Site) -> None:
        query = urlencode(
            {
                **self.registration(name, deployment, site),
                "model_name": name,
                "batch_size": deployment.batch_size,
                "max_batch_delay": deployment.batch_delay_ms,
                "initial_workers": workers,
                "synchronous": "true",
            }
        )
        path = f"/models?{query}"
        answer = ask(site.management_port, "POST", path, timeout_s=_REGISTRATION_TIMEOUT_S)
        if answer.status != 200:
            raise ServerFailed(f"{self.title}: POST {path}: {answer.status} {answer.body[:300]!r}")

    def registration(self, name: str, deployment: Deployment, site: Site) -> dict[str, str]:
        """Return the parameters that say which model is meant."""
        return {"url": self.archive_for(name, site)}

    def archive_for(self, name: str, site: Site) -> str:
        return ARCHIVE_NAME

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind in real_models.KINDS:
            return self.carry(deployment, real_models.bodies(deployment.work.kind)[0])
        paths = tuple(f"/predictions/{name}" for name in deployment.used_model_names())
        if deployment.work.kind == "digits":
            return digits_request(paths[0])
        if deployment.work.kind == "classifier":
            return replace(digits_request(paths[0]), paths=paths)
        return PeerRequest(paths, b"x" * body_bytes, {"Content-Type": OCTETS})

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        return octets_request(f"/predictions/{deployment.model_names()[0]}", body)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind in real_models.KINDS:
            return real_models.is_right(deployment.work.kind, answer)
        if deployment.work.kind == "digits":
            return bool(json.loads(answer.body) == {"digit": DIGITS_ANSWER})
        if deployment.work.kind == "classifier":
            return bool(json.loads(answer.body)["digit"] == DIGITS_ANSWER)
        if deployment.work.kind == "stream":
            return answer.body == STREAM
        return answer.body == b"OK"

    def load_model(self, name: str, site: Site) -> None:
        self._scale(name, 1, site)

    def unload_model(self, name: str, site: Site) -> None:
        self._scale(name, 0, site)

    def _scale(self, name: str, workers: int, site: Site) -> None:
        path = f"/models/{name}?min_worker={workers}&max_worker={workers}&synchronous=true"
        answer = ask(site.management_port, "PUT", path, timeout_s=_REGISTRATION_TIMEOUT_S)
        if answer.status != 200:
            raise ServerFailed(f"{self.title}: PUT {path}: {answer.status} {answer.body[:300]!r}")

    def scale(self, workers: int, site: Site) -> None:
        self._scale("bench", workers, site)

        def are_ready() -> bool:
            described = json.loads(ask(site.management_port, "GET", "/models/bench").body)
            model = described[0] if isinstance(described, list) else described
            return [worker["status"] for worker in model["workers"]] == ["READY"] * workers

        if not wait_until(are_ready, _REGISTRATION_TIMEOUT_S):
            raise ServerFailed(f"{self.title}: {workers} workers were asked for and are not ready")

    def needs_java(self) -> str | None:
        if shutil.which("java") is None:
            return "Java is not installed (Debian: apt-get install openjdk-17-jre-headless)"
        return None
