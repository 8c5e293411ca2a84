"""Model servers of MLRun from their source to an answer: packed, registered, asked."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.client import in_parallel
from support.processes import run_archiver
from support.server import Server, manifest, unique_name
from support.waiting import eventually

from .service import ask, predict

pytestmark = pytest.mark.better_than_mms

SOURCE = '''
import json
import mlrun


class ScaledModel(mlrun.serving.V2ModelServer):
    def load(self):
        """The rates are in a file of the archive."""
        model_file, extra_data = self.get_model(".json")
        with open(model_file) as file:
            self.model = json.load(file)
        assert model_file.endswith("rates.json")
        assert "rates.json" in extra_data

    def predict(self, body):
        self.set_metric("rows_seen", len(body["inputs"]))
        self.calls = getattr(self, "calls", 0) + 1
        return [row * self.model["rate"] * self.get_param("multiplier") for row in body["inputs"]]

    def op_calls(self, event):
        return {"calls": self.calls}
'''


@pytest.fixture
def packed(mlrun_server: Server) -> str:
    """The url of a folder in the store, of a class with a file and a parameter."""
    name = unique_name("scaled")
    parameters = [{"name": "multiplier", "value": "10", "type": "INT"}]
    model = {"extensions": {"interface": "mlrun", "parameters": parameters}}
    mlrun_server.write_model(name, SOURCE, manifest(name, "service:ScaledModel", model=model))
    (mlrun_server.store / name / "rates.json").write_text('{"rate": 2}')
    return name


def test_a_packed_class_answers_with_its_file_and_its_parameters(
    mlrun_server: Server, tmp_path: Path
) -> None:
    """Also on the route of MMS."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "scaled.py").write_text(SOURCE)
    (folder / "rates.json").write_text('{"rate": 2}')
    words = ["--model-name", "scaled", "--model-path", str(folder)]
    words += ["--handler", "scaled:ScaledModel", "--param", "multiplier=10"]
    finished = run_archiver([*words, "--export-path", str(mlrun_server.store)], tmp_path)
    assert finished.returncode == 0, finished.stderr
    with mlrun_server.registered("scaled.mar") as name:
        assert predict(mlrun_server.inference, name, [1, 2]) == [20, 40]
        reply = ask(mlrun_server.inference, f"/predictions/{name}", {"inputs": [3]})
        assert (reply.status, reply.json()["outputs"]) == (200, [60])
        described = mlrun_server.describe(name)
        assert described["interface"] == "mlrun"
        assert described["handler"] == "scaled:ScaledModel"


def test_arguments_of_the_registration_go_before_those_of_the_archive(
    mlrun_server: Server, packed: str
) -> None:
    parameters = json.dumps([{"name": "multiplier", "value": "100", "type": "INT"}])
    with mlrun_server.registered(packed, parameters=parameters) as name:
        assert predict(mlrun_server.inference, name, [1]) == [200]


def test_metrics_of_the_class_are_gauges_of_the_server(mlrun_server: Server, packed: str) -> None:
    with mlrun_server.registered(packed) as name:
        predict(mlrun_server.inference, name, [1, 2, 3])
        line = f'rows_seen{{model_name="{name}"}} 3.0'
        eventually(line, lambda: line in mlrun_server.management.get("/metrics").text.splitlines())


def test_requests_that_wait_together_are_one_call_where_rows_are_joined(
    mlrun_server: Server, packed: str
) -> None:
    options: dict[str, Any] = {"batch_size": 4, "max_batch_delay": 500, "batch_policy": "fixed"}
    with mlrun_server.registered(packed, row_wise="true", **options) as name:
        calls = [partial(predict, mlrun_server.inference, name, [row]) for row in range(4)]
        assert in_parallel(calls) == [[20 * row] for row in range(4)]
        made = ask(mlrun_server.inference, f"/v2/models/{name}/calls", {"a": 1}).json()["calls"]
        assert made == 1
