"""Records of MLRun's models on a server: they make them themselves, the server brings them to their stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Server, unique_name
from support.waiting import eventually

from .service import ask, predict, write_model

pytestmark = pytest.mark.better_than_mms


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return tmp_path / "stream.jsonl"


@pytest.fixture
def tracked(mlrun_server: Server) -> Iterator[Any]:
    """Registers a tracked model; gone at the end."""
    names: list[str] = []

    def register(class_name: str, tracking: object, **parameters: int) -> str:
        name = unique_name("tracked")
        url = write_model(mlrun_server, name, class_name, parameters)
        reply = mlrun_server.register(
            url, initial_workers=1, synchronous="true", tracking=json.dumps(tracking)
        )
        assert reply.status == 200, reply
        names.append(name)
        return name

    yield register
    for name in names:
        mlrun_server.unregister(name)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def records(path: Path, count: int) -> list[dict[str, Any]]:
    return eventually(
        f"{count} records", lambda: found if len(found := read(path)) >= count else None
    )


def test_a_prediction_has_one_record_its_array_written_as_a_list(
    mlrun_server: Server, tracked: Any, stream: Path
) -> None:
    name = tracked("Arr", {"path": str(stream), "function_uri": "proj/func"})
    reply = ask(mlrun_server.inference, f"/v2/models/{name}/infer", {"inputs": [[5, 6]]})
    (record,) = records(stream, 1)
    assert record["resp"] == reply.json()
    assert record["resp"]["outputs"] == [10]
    assert record["request"] == {"inputs": [[5, 6]]}
    assert (record["class"], record["model"], record["op"]) == ("Arr", name, "infer")
    assert record["function_uri"] == "proj/func"
    assert record["metrics"] == {"rows": 1}
    assert record["when"] == reply.json()["timestamp"]
    assert isinstance(record["microsec"], int)


def test_a_model_says_what_its_record_tells_and_the_client_gets_its_own_answer(
    mlrun_server: Server, tracked: Any, stream: Path
) -> None:
    name = tracked("Arr", {"path": str(stream)}, tells=1)
    assert predict(mlrun_server.inference, name, [[5, 6]]) == [10]
    (record,) = records(stream, 1)
    assert record["request"]["inputs"] == [[1]]
    assert record["resp"] == {"outputs": [2]}


def test_samples_and_batches_are_as_asked_for_and_the_end_sends_the_rest(
    mlrun_server: Server, tracked: Any, stream: Path
) -> None:
    name = tracked("Arr", {"path": str(stream), "sample": 2, "batch": 3})
    for number in range(10):
        assert predict(mlrun_server.inference, name, [[number]]) == [number * 2]
    mlrun_server.unregister(name)
    full, rest = read(stream)
    assert [row[2]["outputs"] for row in full["values"]] == [[2], [6], [10]]
    assert [row[2]["outputs"] for row in rest["values"]] == [[14], [18]]


def test_an_error_has_its_record_and_the_error_stream_its_event(
    mlrun_server: Server, tracked: Any, stream: Path, tmp_path: Path
) -> None:
    errors = tmp_path / "errors.jsonl"
    name = tracked("Raiser", {"path": str(stream), "sample": 100, "error_stream": str(errors)})
    reply = ask(mlrun_server.inference, f"/v2/models/{name}/infer", {"id": "e1", "inputs": [5]})
    assert reply.status == 400
    (record,) = records(stream, 1)
    assert record["error"] == "this model never predicts"
    assert record["request"] == {"id": "e1", "inputs": [5]}
    (error,) = records(errors, 1)
    assert error["source"] == "_handler"
    assert "ValueError: this model never predicts" in error["message"]
    assert set(error) == {*("function_uri", "worker", "host", "source", "event", "message", "args")}


CODE = """
from mlrun.serving import V2ModelServer
import numpy as np

class Arr(V2ModelServer):
    def load(self):
        pass
    def predict(self, request):
        return np.array([row[0] * self.get_param("multiplier") for row in request["inputs"]])
"""


def test_an_ensemble_has_a_record_besides_those_of_its_models(
    mlrun_server: Server, stream: Path
) -> None:
    function = unique_name("function")
    first, second = unique_name("first"), unique_name("second")
    document = {
        "function_uri": f"default/{function}",
        "version": "v2",
        "parameters": {"log_stream": str(stream)},
        "track_models": True,
        "graph": {
            "kind": "router",
            "class_name": "mlrun.serving.routers.VotingEnsemble",
            "class_args": {"vote_type": "regression"},
            "routes": {
                key: {
                    "class_name": "Arr",
                    "class_args": {"model_path": "", "multiplier": multiplier},
                }
                for key, multiplier in ((first, 2), (second, 3))
            },
        },
        "filename": "classes.py",
        "code": CODE,
    }
    (mlrun_server.store / f"{function}.json").write_text(json.dumps(document))
    reply = mlrun_server.register(f"{function}.json", initial_workers=1, synchronous="true")
    assert reply.status == 200, reply
    answer = ask(
        mlrun_server.inference, f"/v2/models/{function}/infer", {"inputs": [[5, 6]]}
    ).json()
    assert answer["outputs"] == [12.5]
    found = {record["model"]: record for record in records(stream, 3)}
    assert {name: record["resp"]["outputs"] for name, record in found.items()} == {
        first: [10],
        second: [15],
        "VotingEnsemble": [12.5],
    }
    ensemble = found["VotingEnsemble"]
    assert (ensemble["class"], ensemble["op"]) == ("VotingEnsemble", None)
    assert ensemble["request"]["inputs"] == [[5, 6]]
    mlrun_server.unregister(function)
    assert len(read(stream)) == 3
