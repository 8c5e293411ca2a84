"""Steps of storey in flows: by name, as bases of classes, and what of storey is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flow_harness import Served

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.graph_document import graph_from_dict, new_graph
from mms.interfaces.mlrun.graph.steps.storey import Choice, MapClass
from mms.interfaces.mlrun.model.context import GraphContext

both_engines = pytest.mark.parametrize("engine", ["sync", "async"])


def flow(engine: str = "async") -> Any:
    return new_graph("flow", engine=engine)


def twice(body: Any) -> Any:
    return body * 2


async def twice_later(body: Any) -> Any:
    return body * 2


def told_by(body: Any, context: Any) -> Any:
    return [body, isinstance(context, GraphContext)]


class Odd(MapClass):
    """Keeps odd numbers."""

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def do(self, event: Any) -> Any:
        if event % 2 == 0:
            return self.filter()
        return [event * self.factor, self.name]


class BySign(Choice):
    def select_outlets(self, event: Any) -> list[str]:
        return {1: ["plus"], 0: ["plus", "minus"], -1: ["minus"], 2: ["nowhere"]}[event]


@both_engines
def test_extend_adds_what_a_function_returns_to_the_body(engine: str) -> None:
    graph = flow(engine)
    graph.to("storey.Extend", "enrich", _fn="({'b': event['a'] * 2})").respond()
    assert Served(graph).run({"a": 1}) == {"a": 1, "b": 2}


@both_engines
@pytest.mark.parametrize("function", ["(event * 2)", "twice", "twice_later", twice])
def test_map_has_a_function_by_name_by_expression_or_itself(engine: str, function: Any) -> None:
    graph = flow(engine)
    graph.to("storey.Map", "double", _fn=function).respond()
    assert Served(graph, globals()).run(4) == 8


def test_map_reads_and_writes_where_its_paths_say() -> None:
    graph = flow()
    graph.to("storey.Map", "m", _fn="(event + 1)", input_path="x", result_path="y").respond()
    assert Served(graph).run({"x": 1}) == {"x": 1, "y": 2}


def test_a_function_may_have_whole_events_and_the_context() -> None:
    graph = flow()
    graph.to("storey.Map", "whole", full_event=True, _fn="(event)").to(
        "storey.Map", "told", _fn="told_by", pass_context=True
    ).respond()
    assert Served(graph, globals()).run("x") == ["x", True]


@both_engines
def test_filter_ends_events_for_which_its_function_is_false(engine: str) -> None:
    graph = flow(engine)
    graph.to("storey.Filter", "keep", _fn="(event > 0)").to(name="end", handler="(event)").respond()
    served = Served(graph)
    assert served.run(5) == 5
    assert served.run(-5, event_id="gone") == {"id": "gone"}


def test_flat_map_makes_several_events_and_the_first_is_the_reply() -> None:
    seen: list[Any] = []
    graph = flow()
    graph.to("storey.FlatMap", "each", _fn="([event, event + 1, event + 2])").to(
        name="note", handler=lambda body: seen.append(body) or body
    ).respond()
    with Served(graph) as served:
        assert served.run(1) == 1
    assert seen == [1, 2, 3]


def test_flat_map_of_nothing_ends_the_event() -> None:
    graph = flow()
    graph.to("storey.FlatMap", "each", _fn="([])").to(name="end", handler="(event)").respond()
    assert Served(graph).run(1, event_id="e") == {"id": "e"}


@pytest.mark.parametrize("cls", ["BySign", BySign])
def test_choice_passes_events_to_the_steps_that_it_names(cls: Any) -> None:
    visits: list[str] = []

    def note(name: str) -> Any:
        return lambda body: visits.append(name) or [name, body]

    graph = flow()
    choice = graph.to(cls, "choice")
    choice.to(name="plus", handler=note("plus"))
    choice.to(name="minus", handler=note("minus"))
    graph.add_step(name="end", handler="(event)", after=["plus", "minus"]).respond()
    with Served(graph, globals()) as served:
        assert served.run(1) == ["plus", 1]
        assert served.run(-1) == ["minus", -1]
        assert served.run(0)[1] == 0
        with pytest.raises(
            ValueError, match="nowhere, which is not one of the steps behind choice: plus"
        ):
            served.run(2)
    assert sorted(visits) == ["minus", "minus", "plus", "plus"]


def test_a_choice_by_name_passes_to_all_steps_behind_it() -> None:
    visits: list[str] = []
    graph = flow()
    choice = graph.to("storey.Choice", "choice")
    choice.to(name="a", handler=lambda body: visits.append("a") or body).respond()
    choice.to(name="b", handler=lambda body: visits.append("b") or body)
    with Served(graph) as served:
        assert served.run(1) == 1
    assert sorted(visits) == ["a", "b"]


@both_engines
def test_a_class_derived_from_map_class_may_end_events(engine: str) -> None:
    graph = flow(engine)
    graph.to("Odd", "odd", factor=10).respond()
    served = Served(graph, globals())
    assert served.run(3) == [30, "odd"]
    assert served.run(2, event_id="e") == {"id": "e"}
    assert served.run(5) == [50, "odd"]


def test_complete_replies_where_it_is_the_responder_as_in_mlrun() -> None:
    for responds in (True, False):
        graph = flow()
        last = graph.to("storey.Map", "m", _fn="(event)").to("storey.Complete", "done")
        if responds:
            last.respond()
        assert Served(graph).run(1, event_id="e") == (1 if responds else {"id": "e"})


@pytest.mark.parametrize("name", ["storey.Batch", "storey.flow.Reduce", "storey.steps.Assert"])
def test_other_steps_of_storey_are_refused_by_name(name: str) -> None:
    graph = flow()
    graph.to(name, "b", max_events=3).respond()
    told = "step b: steps of storey beyond Choice, .* are not supported: storey"
    with pytest.raises(GraphError, match=told):
        Served(graph)


@pytest.mark.parametrize(
    ("name", "options"), [("storey.FlatMap", {"_fn": "([1])"}), ("storey.Choice", {})]
)
def test_a_step_with_branches_is_refused_in_a_flow_without_them(
    name: str, options: dict[str, Any]
) -> None:
    graph = flow("sync")
    graph.to(name, "b", **options)
    with pytest.raises(GraphError, match="step b .* sync has no branches: use engine async"):
        Served(graph)


def test_a_function_is_written_into_the_flows_document_by_its_name() -> None:
    graph = flow()
    graph.to("storey.Map", "double", fn=twice).respond()
    document = graph.to_dict()["steps"]["double"]
    assert document["class_args"] == {"_fn": f"{__name__}.twice"}
    assert Served(graph_from_dict(graph.to_dict())).run(4) == 8


def test_what_is_no_function_is_refused() -> None:
    graph = flow()
    graph.to("storey.Map", "m", fn="twice")
    with pytest.raises(TypeError, match="failed to init step m") as caught:
        Served(graph)
    assert str(caught.value.__cause__).startswith("fn must be a function, not str: _fn= takes")


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        ("(event['a'", r"the expression \(event\['a' is not valid: '\[' was never closed"),
        ("(event +)", r"the expression \(event \+\) is not valid: invalid syntax"),
        (
            "event + 1",
            r"event \+ 1 is not the name of a function; .* in parentheses: \(event \+ 1\)",
        ),
        ("lambda x: x", "lambda x: x is not the name of a function; an expression over event"),
        ("nothere", "handler nothere was not found"),
    ],
)
@pytest.mark.parametrize("where", ["_fn", "handler"])
def test_a_broken_expression_is_refused_with_pythons_reason(
    fn: str, reason: str, where: str
) -> None:
    graph = flow()
    if where == "_fn":
        graph.to("storey.Map", "m", _fn=fn)
    else:
        graph.to(name="m", handler=fn)
    with pytest.raises(GraphError, match=f"^step m: {reason}"):
        Served(graph)


def test_blanks_around_an_expression_do_not_count() -> None:
    graph = flow()
    graph.to("storey.Map", "m", _fn=" (event + 1) ").respond()
    assert Served(graph).run(1) == 2


@pytest.mark.parametrize("kind", ["Map", "Extend", "Filter", "FlatMap"])
def test_a_step_without_its_function_is_refused_by_name(kind: str) -> None:
    graph = flow()
    graph.to(f"storey.{kind}", "m")
    with pytest.raises(GraphError, match=f"step m: {kind} needs a function: _fn= takes its name"):
        Served(graph)


# What newer versions of MLRun have


def test_flows_that_go_in_circles_are_refused_by_name() -> None:
    with pytest.raises(MLRunInvalidArgumentError, match="allow_cyclic=True"):
        new_graph("flow", engine="async", allow_cyclic=True)
    document = {"engine": "async", "allow_cyclic": True, "steps": {"a": {"handler": "(event)"}}}
    with pytest.raises(GraphError, match="allow_cyclic=True"):
        graph_from_dict(document)


def test_an_unknown_argument_of_a_flow_is_refused_by_name() -> None:
    with pytest.raises(MLRunInvalidArgumentError, match="a flow takes no speed"):
        new_graph("flow", engine="async", speed=1)


def test_a_kind_of_step_that_is_not_here_is_refused_by_name() -> None:
    document = {"steps": {"run": {"kind": "monitored", "class_args": {}}}}
    with pytest.raises(GraphError, match="step run: MonitoredStep of newer versions"):
        graph_from_dict(document)


# The package storey, where it is not installed

SCRIPT = """
import mlrun
import storey
from storey.flow import Choice
from storey import Batch


class Route(storey.Choice):
    def select_outlets(self, event):
        return [event["to"]]


class Step(storey.MapClass):
    def do(self, event):
        return {**event, "by": self.name}


function = mlrun.new_function("f", kind="serving")
graph = function.set_topology("flow", engine="async")
choice = graph.to("Step", "first").to(Route, "route")
choice.to("Step", "a").respond()
choice.to("Step", "b")
server = function.to_mock_server()
print(server.test(body={"to": "a"}), "id" in server.test(body={"to": "b"}))
server.wait_for_completion()
try:
    Batch(3)
except NotImplementedError as error:
    print(error)
"""


def test_classes_that_derive_from_storey_run_without_it(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    program = "import sys; from mms.interfaces.mlrun.cli.commands import run_script; run_script(sys.argv[1], [])"
    finished = subprocess.run(
        [sys.executable, "-c", program, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    answers, refusal = finished.stdout.splitlines()[-2:]
    assert answers == "{'to': 'a', 'by': 'a'} True"
    assert refusal.startswith("steps of storey beyond ") and refusal.endswith(": storey.Batch")
