"""Model servers of MLRun in worker processes: found by their shape, small, and ready when they say so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mms.wire import READINESS, ModelOperation, Readiness

from .front import Front, Request, Worker

SOURCE = """
    import os
    import time
    import mlrun

    class ClassifierModel(mlrun.serving.V2ModelServer):
        def load(self):
            while self.get_param("gate", "") and not os.path.exists(self.get_param("gate")):
                time.sleep(0.01)
            if self.get_param("fails", False):
                raise OSError("no such weights")
            self.model = 3

        def predict(self, body):
            return [value * self.model for value in body["inputs"]]
"""
BODY = b'{"inputs": [1, 2]}'
#: Of a worker with a class of pure Python, once it has answered.
MAX_RSS_BYTES = 40 * 1024 * 1024

Load = Callable[..., Worker]


@pytest.fixture
def load(start_worker: Callable[..., Worker]) -> Load:
    def started(source: str = SOURCE, **options: Any) -> Worker:
        return start_worker(
            source,
            model_version=None,
            interface=options.pop("interface", "mlrun"),
            handler=options.pop("handler", "service:ClassifierModel"),
            of_interfaces={"mlrun": options},
        )

    return started


def infer(worker: Worker) -> tuple[int, Any]:
    answer = worker.run(
        Request(BODY, b"application/json", operation=ModelOperation("infer"))
    ).answers[0]
    text = answer.body.decode()
    return answer.status, json.loads(text)["outputs"] if answer.status == 200 else text


@pytest.mark.parametrize(
    "handler", ["service:ClassifierModel", "service", "service.ClassifierModel"]
)
def test_a_model_server_is_found_by_its_shape(load: Load, handler: str) -> None:
    worker = load(interface="auto", handler=handler)
    assert worker.loaded is not None
    assert worker.loaded.interface == "mlrun"
    assert infer(worker) == (200, [3, 6])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_worker_with_a_class_of_pure_python_is_small(load: Load) -> None:
    worker = load()
    assert infer(worker) == (200, [3, 6])
    status = Path(f"/proc/{worker.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    assert int(line.split()[1]) * 1024 < MAX_RSS_BYTES


def readiness(worker: Worker) -> Readiness:
    """What the worker says when its load has ended."""
    assert worker.control is not None
    frame = worker.control.receive()
    assert frame is not None, "the worker closed its control connection"
    assert frame[0] == READINESS, frame
    return Readiness.from_payload(frame[2])


def test_a_model_that_loads_beside_requests_tells_the_front_when_it_is_ready(
    load: Load, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = load(load_mode="async", class_args={"gate": str(gate)})
    assert worker.loaded is not None
    assert not worker.loaded.is_ready
    assert infer(worker) == (400, "RuntimeError: model m is not ready yet")
    gate.touch()
    assert readiness(worker) == Readiness(True)
    assert infer(worker) == (200, [3, 6])


def test_a_model_that_fails_beside_requests_tells_the_front_why(load: Load) -> None:
    worker = load(load_mode="async", class_args={"fails": True})
    assert readiness(worker) == Readiness(False, "OSError: no such weights")


def test_a_forked_worker_loads_beside_requests_in_its_own_process(
    front: Front, write_model: Callable[..., str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    parent = front.start_parent()
    loaded = parent.load(
        model_name="m",
        model_version=None,
        model_dir=write_model(SOURCE),
        handler="service:ClassifierModel",
        interface="mlrun",
        of_interfaces={"mlrun": {"load_mode": "async", "class_args": {"gate": str(gate)}}},
    )
    assert (loaded.code, loaded.is_ready) == (200, False)
    worker = front.fork(parent, "child")
    assert readiness(worker) == Readiness(True)
    assert infer(worker) == (200, [3, 6])


@pytest.mark.parametrize(
    ("source", "interface"),
    [
        ("class ClassifierModel:\n        def predict(self, X, names): return X", "seldon"),
        ("def ClassifierModel(data, context): return data", "mms"),
    ],
)
def test_code_of_other_interfaces_is_not_taken_for_a_model_server(
    load: Load, source: str, interface: str
) -> None:
    worker = load(f"\n    {source}", interface="auto")
    assert worker.loaded is not None
    assert worker.loaded.interface == interface
