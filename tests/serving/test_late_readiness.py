"""A worker whose model loads on beside its first requests serves, and is not ready before it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.waiting import until

LIMIT_S = 20
MODEL = """
import os
import time
from mms.interfaces.mlrun.model.model_server import V2ModelServer

class Model(V2ModelServer):
    def load(self):
        while not os.path.exists(self.get_param("gate")):
            time.sleep(0.01)
        if self.get_param("fails", False):
            raise OSError("no such weights")

    def predict(self, request):
        return request["inputs"]
"""


async def register(bench: Any, gate: Path, **class_args: Any) -> None:
    await bench.register(
        "m",
        MODEL,
        handler="service:Model",
        interface="mlrun",
        mlrun={"load_mode": "async", "class_args": {"gate": str(gate), **class_args}},
    )


def worker_of(bench: Any) -> dict[str, Any]:
    (worker,) = bench.described("m")["workers"]
    assert isinstance(worker, dict)
    return worker


async def test_the_model_is_ready_when_its_load_has_ended(bench: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    await register(bench, gate)
    assert not bench.host.is_ready("m")
    worker = worker_of(bench)
    assert (worker["status"], worker["modelReady"]) == ("LOADING", False)
    assert worker["reason"] == "the model is loading"
    assert (await bench.predict("m", b'{"inputs": [1]}'))[0] == 400
    gate.touch()
    await until(lambda: bool(bench.host.is_ready("m")))
    worker = worker_of(bench)
    assert worker["status"] == "READY"
    assert "modelReady" not in worker
    assert "reason" not in worker
    assert (await bench.predict("m", b'{"inputs": [1]}'))[0] == 200


async def test_a_load_that_fails_late_is_shown_and_leaves_the_model_unready(
    bench: Any, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    await register(bench, tmp_path / "gate", fails=True)
    await until(lambda: "loadError" in bench.described("m"))
    assert bench.described("m")["loadError"] == "OSError: no such weights"
    assert worker_of(bench)["reason"] == "OSError: no such weights"
    assert not bench.host.is_ready("m")


async def test_a_strict_ping_waits_for_models_that_load_late(bench: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    await register(bench, gate)
    assert bench.host.ping() == "Healthy"
    bench.settings.strict_ping = True
    assert bench.host.ping() == "Unhealthy"
    gate.touch()
    await until(lambda: bool(bench.host.ping() == "Healthy"))
