"""Models that ask others are loaded anew together with these, and somebody answers at every moment."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mms.errors import WorkerStartFailed
from mms.serving import RegisterOptions

CODE = """
import mlrun
class Model(mlrun.serving.V2ModelServer):
    def load(self):
        {load}
    def predict(self, request):
        return ["{word}"]
"""
SPEC: dict[str, Any] = {
    "function_name": "fn",
    "filename": "f.py",
    "graph": {"kind": "router", "routes": {"a": {"class_name": "Model"}}},
}
BODY = b'{"inputs": [1]}'


def write_function(bench: Any, word: str, load: str = "pass", *routes: str) -> None:
    graph = {
        **SPEC["graph"],
        "routes": {name: {"class_name": "Model"} for name in routes or ("a",)},
    }
    folder = bench.store / "fn"
    folder.mkdir(exist_ok=True)
    (folder / "f.py").write_text(CODE.format(word=word, load=load))
    (folder / "serving_spec.json").write_text(json.dumps({**SPEC, "graph": graph}))


async def answers_during(bench: Any, name: str, work: Any) -> list[Any]:
    """What a model answers from the begin of some work to its end."""
    working = asyncio.create_task(work)
    answers = []
    while not working.done():
        answers.append(await bench.predict(name, BODY))
    await working
    return answers


def outputs(answer: tuple[int, bytes]) -> Any:
    status, body = answer
    assert status == 200, body
    return json.loads(body)["outputs"]


async def test_a_function_and_its_models_change_together_without_a_gap(bench: Any) -> None:
    write_function(bench, "old", "pass", "a", "gone")
    await bench.host.register(RegisterOptions("fn", initial_workers=1))
    write_function(bench, "new", "pass", "a", "more")
    answers = await answers_during(bench, "fn", bench.host.stored.load("fn"))
    assert {str(outputs(answer)) for answer in answers} <= {"['old']", "['new']"}
    assert outputs(await bench.predict("fn", BODY)) == ["new"]
    assert {served.name for served in bench.host.registry.all()} == {"fn", "a", "more"}
    assert bench.host.users_of("a") == ["fn"]
    await bench.host.unregister("fn")
    assert bench.host.registry.all() == []


async def test_a_function_whose_models_cannot_be_loaded_leaves_the_former_one(bench: Any) -> None:
    write_function(bench, "old")
    await bench.host.register(RegisterOptions("fn", initial_workers=1))
    workers = bench.pids("a")
    write_function(bench, "new", "raise RuntimeError('no weights')", "a", "more")
    with pytest.raises(WorkerStartFailed, match="no weights"):
        await bench.host.stored.load("fn")
    assert outputs(await bench.predict("fn", BODY)) == ["old"]
    assert bench.pids("a") == workers
    assert {served.name for served in bench.host.registry.all()} == {"fn", "a"}


async def test_a_graph_changes_without_a_gap_and_its_nodes_stay(bench: Any) -> None:
    says = 'def handle(data, context):\n    return data and [\'{{"strData": "{}"}}\'] * len(data)\n'
    for word in ("one", "two"):
        await bench.register(word, says.format(word))
    workers = bench.pids("one"), bench.pids("two")
    folder = bench.store / "g"
    folder.mkdir()
    (folder / "graph.yaml").write_text("graph: {name: one, type: MODEL}\n")
    await bench.host.register(RegisterOptions("g"))
    (folder / "graph.yaml").write_text("graph: {name: two, type: MODEL}\n")
    answers = await answers_during(bench, "g", bench.host.stored.load("g"))
    assert {status for status, _ in answers} == {200}
    assert b"two" in (await bench.predict("g", BODY))[1]
    assert (bench.pids("one"), bench.pids("two")) == workers
