"""A Seldon component as its REST clients see it, wherever it runs.

With CONFORMANCE_SELDON set to the command `seldon-core-microservice`, the components run in Seldon's own wrapper, to
check the tests against it.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from support.client import Address, Client, Reply
from support.processes import base_environment, free_port, kill_tagged
from support.server import MODELS
from support.waiting import eventually

COMPONENTS = MODELS / "seldon"
_WRAPPER = "CONFORMANCE_SELDON"


def is_wrapper() -> bool:
    """Whether Seldon's own wrapper is under test."""
    return _WRAPPER in os.environ


@dataclass
class Service:
    """`base` stands before the routes of the component."""

    client: Client
    base: str
    metrics_client: Client
    metrics_path: str = "/metrics"

    def get(self, path: str, **options: Any) -> Reply:
        return self.client.get(self.base + path, **options)

    def ask(self, path: str, message: object, **options: Any) -> Reply:
        """GET with the message in the query."""
        return self.get(f"{path}?json={urllib.parse.quote(json_text(message))}", **options)

    def post(self, path: str, message: object, **options: Any) -> Reply:
        return self.client.post(
            self.base + path, json_text(message), content_type="application/json", **options
        )

    def post_form(self, path: str, message: object) -> Reply:
        body = urllib.parse.urlencode({"json": json_text(message)})
        return self.client.post(
            self.base + path, body, content_type="application/x-www-form-urlencoded"
        )

    def post_body(self, path: str, body: bytes, content_type: str | None = None) -> Reply:
        return self.client.post(self.base + path, body, content_type=content_type)

    def options(self, path: str, **options: Any) -> Reply:
        return self.client.options(self.base + path, **options)

    def result(self, message: object, path: str = "/predict") -> Any:
        """The JSON of an answer of status 200."""
        reply = self.post(path, message)
        assert reply.status == 200, reply
        return reply.json()

    def samples(self) -> list[tuple[str, Mapping[str, str], float]]:
        """(name, labels, value) of all that is exposed."""
        reply = self.metrics_client.get(self.metrics_path)
        assert reply.status == 200, reply
        return [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(reply.text)
            for sample in family.samples
        ]

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of the component's one sample that has these labels among others; None where there is none."""
        model = self.base.rpartition("/")[2]
        found = [
            value
            for own, all_labels, value in self.samples()
            if own == name
            and labels.items() <= all_labels.items()
            # In a server with others.
            and (not model or all_labels.get("model_name", model) == model)
        ]
        assert len(found) < 2, f"{name} {labels}: {found}"
        return found[0] if found else None


def json_text(message: object) -> str:
    return message if isinstance(message, str) else json.dumps(message)


@contextmanager
def in_wrapper(
    component: str, directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """A component, `module:Class`, in Seldon's wrapper."""
    ports = [free_port() for _ in range(3)]
    tag = f"wrapper-{ports[0]}"
    variables = base_environment(directory, tag) | {"GRPC_WORKERS": "0"} | dict(environment or {})
    command = [
        *(os.environ[_WRAPPER], component.replace(":", "."), "--service-type", "MODEL"),
        *("--http-port", str(ports[0]), "--grpc-port", str(ports[1])),
        *("--metrics-port", str(ports[2])),
    ]
    with open(directory / "wrapper.txt", "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=COMPONENTS,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(Client(Address(port=ports[0])), "", Client(Address(port=ports[2])))

    def is_up() -> bool:
        try:
            return (
                service.get("/health/ping").status == 200
                and service.metrics_client.get("/metrics").status == 200
            )
        except OSError:
            return False

    try:
        eventually("the wrapper is up", is_up, 60)
        yield service
    finally:
        process.terminate()
        process.wait(20)
        kill_tagged(tag)
