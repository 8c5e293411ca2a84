"""Classes of the installed package `mlrun`, driven by this server's worker.

MLRUN_ORACLE_PYTHON names a Python that has mlrun 1.7 or later; without it a small package of that name stands in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlrun_served import ServedModel
from real_package_answers import answers_of

OpenModel = Callable[..., ServedModel]
ORACLE = os.environ.get("MLRUN_ORACLE_PYTHON", "")
SCRIPT = Path(__file__).with_name("real_package_answers.py")
OPTIONS = {"class_args": {"multiplier": 3}, "row_wise": True}
SOURCE = """
    from mlrun.serving import V2ModelServer

    class Model(V2ModelServer):
        def load(self):
            self.model = 1

        def predict(self, request):
            self.context.logger.info("predicting", rows=len(request["inputs"]))
            if request["inputs"] == ["bad"]:
                raise ValueError("bad row")
            return [value * self.get_param("multiplier") for value in request["inputs"]]

        def explain(self, request):
            return {"explained": request["inputs"]}

        def op_made(self, event):
            return self.context.Response(body="made", status_code=201)

"""
CALLS: list[list[Any]] = [
    ["infer", {"inputs": [1, 2], "id": "a"}, "POST"],
    ["predict", {"inputs": [3]}, "POST"],
    ["explain", {"inputs": [1]}, "POST"],
    ["", None, "GET"],
    ["ready", None, "GET"],
    ["made", {"a": 1}, "POST"],
    ["infer", {"inputs": ["bad"]}, "POST"],
    ["infer", {"a": 1}, "POST"],
    ["infer", {"inputs": 1}, "POST"],
    ["xx", {"a": 1}, "POST"],
]
#: Members that versions of the package have or lack.
_VARYING = ("timestamp", "version", "model_endpoint_uid")

# The installed package in few lines: what a class of its base asks of its context.
STAND_IN = """
    class V2ModelServer:
        def __init__(self, context=None, name=None, model_path=None, **kwargs):
            self.context, self.name, self._params = context, name, kwargs
            self.ready, self.error, self.metrics = False, "", {}

        def post_init(self, mode="sync"):
            assert self.context.is_mock and not self.context.monitoring_mock
            assert not self.context.stream.enabled
            assert self.context.server and self.context._server
            self.load()
            self.ready = True

        def get_param(self, key):
            return self._params[key]

        def do_event(self, event):
            event.body = {"outputs": self.predict(event.body)}
            return event
"""


def write_source(folder: Path) -> None:
    folder.mkdir()
    (folder / "served.py").write_text("\n".join(line[4:] for line in SOURCE.splitlines()))


def asked(python: str, folder: Path, calls: list[list[Any]], **variables: str) -> dict[str, Any]:
    finished = subprocess.run(
        [python, "-W", "ignore", str(SCRIPT), str(folder), json.dumps(OPTIONS)],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from one version of the package to the next."""
    if answer["type"] != "application/json":
        return answer
    body = json.loads(answer["body"])
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in _VARYING}
    return {**answer, "body": body}


@pytest.mark.skipif(not ORACLE, reason="MLRUN_ORACLE_PYTHON names no Python with mlrun")
def test_a_class_of_the_installed_package_answers_as_one_of_ours(
    open_model: OpenModel, tmp_path: Path
) -> None:
    write_source(tmp_path / "theirs")
    theirs = asked(ORACLE, tmp_path / "theirs", CALLS)
    assert "site-packages" in theirs["file"]
    assert theirs["interface"] == "mlrun"
    ours = open_model(
        SOURCE.replace("from mlrun.serving", "from mms.interfaces.mlrun.model.model_server"),
        batch_size=4,
        **OPTIONS,
    )
    expected = [plain(answer) for answer in answers_of(ours, CALLS)]
    assert [plain(answer) for answer in theirs["answers"]] == expected


def test_an_installed_package_goes_before_the_servers_own_and_is_not_asked_for_its_service(
    tmp_path: Path,
) -> None:
    package = tmp_path / "installed" / "mlrun" / "serving"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("from .v2_serving import V2ModelServer\n")
    lines = STAND_IN.splitlines()
    (package / "v2_serving.py").write_text("\n".join(line[4:] for line in lines))
    write_source(tmp_path / "model")
    path = f"{package.parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    found = asked(sys.executable, tmp_path / "model", CALLS[:2], PYTHONPATH=path)
    assert found["file"] == str(package.parent / "__init__.py")
    assert found["interface"] == "mlrun"
    bodies = [json.loads(answer["body"])["outputs"] for answer in found["answers"]]
    assert bodies == [[3, 6], [9], [3, 6], [9]]
