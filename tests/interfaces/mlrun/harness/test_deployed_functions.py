"""Functions deployed to a real server, which deploying starts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import free_port

from mms.interfaces.mlrun import ServingFunction, code_to_function, use_mlrun_shim
from mms.interfaces.mlrun.authoring import deploying
from mms.interfaces.mlrun.errors import MLRunRuntimeError

CODE = """
import mlrun


class Times(mlrun.serving.V2ModelServer):
    def load(self):
        if self.get_param("is_broken", False):
            raise OSError("the disk is gone")

    def predict(self, request):
        return [x * self.get_param("factor") for x in request["inputs"]]
"""
WAIT_S = 60.0


def free_address() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, Any]]:
    yield {"management_address": free_address(), "inference_address": free_address()}
    for process in deploying._STARTED:
        process.send_signal(signal.SIGTERM)
    for process in deploying._STARTED:
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of mlrun, for the mock server of this process; tests of others look for the package that they install."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert use_mlrun_shim()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlrun"]:
        del sys.modules[name]


@pytest.fixture
def code_file(tmp_path: Path) -> str:
    file = tmp_path / "times.py"
    file.write_text(CODE)
    return str(file)


def times(code_file: str, **factors: Any) -> ServingFunction:
    function = code_to_function("deployed", kind="serving", filename=code_file)
    for name, factor in factors.items():
        function.add_model(name, "", class_name="Times", factor=factor)
    return function


def test_a_function_is_served_updated_and_asked_as_in_the_mock(
    addresses: dict[str, Any], code_file: str
) -> None:
    function = times(code_file, m1=10, m2=20)
    assert function.deploy(**addresses) == addresses["inference_address"]
    for mock in (True, False):
        listed = function.invoke("/v2/models/", mock=mock)
        answer = function.invoke("/v2/models/m2/infer", {"inputs": [1, 2]}, mock=mock)
        assert listed == {"models": ["m1", "m2"]}
        assert answer["outputs"] == [20, 40]
        assert list(answer) == ["id", "model_name", "outputs", "timestamp"]
    with pytest.raises(RuntimeError, match="400: .*model m3 doesnt exist"):
        function.invoke("/v2/models/m3/infer", {"inputs": [1]})

    # The same server takes the next version of the function.
    started = len(deploying._STARTED)
    function = times(code_file, m1=11, m3=30)
    function.deploy(**addresses)
    assert len(deploying._STARTED) == started == 1
    assert function.invoke("/v2/models/") == {"models": ["m1", "m3"]}
    assert function.invoke("/v2/models/m1/infer", {"inputs": [1]})["outputs"] == [11]


def test_a_function_that_cannot_load_says_why(code_file: str) -> None:
    function = times(code_file, m1=10)
    function.spec.parameters["is_broken"] = True
    own = {"management_address": free_address(), "inference_address": free_address()}
    began = time.monotonic()
    with pytest.raises(MLRunRuntimeError, match="the disk is gone"):
        function.deploy(**own)  # type: ignore[arg-type]
    assert time.monotonic() - began < WAIT_S
