"""Drawings of graphs, as texts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from mms.interfaces.mlrun.authoring.plot import Drawing, _nodes_and_ways
from mms.interfaces.mlrun.errors import MLRunMissingDependencyError
from mms.interfaces.mlrun.graph.graph_document import new_graph


def drawn(graph: Any) -> Drawing:
    return Drawing(*_nodes_and_ways(graph, None, None))


def graph() -> Any:
    made = new_graph("flow")
    first = made.to("Echo", "first")
    first.to(">>", "q", path="").to("*", "router", function="f2").add_route("m1", class_name="M")
    first.error_handler("catch", class_name="Echo", before="q")
    return made


def test_steps_ways_and_handlers_are_in_the_mermaid_text() -> None:
    assert drawn(graph()).mermaid == (
        "flowchart LR\n"
        '  n0(["start"])\n'
        '  n1["first"]\n'
        '  n2[("q")]\n'
        '  n3{{"router<br/>(f2)"}}\n'
        '  n4["m1"]\n'
        '  n5[/"catch"/]\n'
        "  n0 --> n1\n"
        "  n1 -.-> n5\n"
        "  n1 --> n2\n"
        "  n3 --> n4\n"
        "  n2 --> n3\n"
        "  n5 --> n2\n"
    )


def test_the_dot_text_names_all_nodes() -> None:
    text = drawn(graph()).dot
    assert '"router/m1" [label="m1", shape=ellipse];' in text
    assert '"first" -> "catch" [style=dashed];' in text
    assert text.startswith("digraph")


def test_a_router_that_is_the_graph_is_drawn() -> None:
    router = new_graph("router")
    router.add_route("m1", class_name="M")
    assert '"router" -> "router/m1";' in drawn(router).dot


@pytest.mark.parametrize(
    ("name", "begin"),
    [("flow.mmd", "flowchart"), ("flow.md", "```mermaid"), ("flow.dot", "digraph")],
)
def test_texts_are_written_by_the_files_suffix(tmp_path: Path, name: str, begin: str) -> None:
    graph().plot(str(tmp_path / name))
    assert (tmp_path / name).read_text().startswith(begin)


@pytest.mark.skipif(
    importlib.util.find_spec("graphviz") is not None, reason="graphviz is installed and draws it"
)
def test_a_picture_needs_graphviz_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(MLRunMissingDependencyError, match=r"flow\.png cannot be drawn without"):
        graph().plot(str(tmp_path / "flow.png"))
