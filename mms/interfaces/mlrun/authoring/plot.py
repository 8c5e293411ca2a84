"""Drawings of graphs: Mermaid and DOT texts, and pictures where graphviz is installed."""

from __future__ import annotations

from typing import Any, NamedTuple

from mms.brief import brief
from mms.interfaces.mlrun.errors import GraphError, MLRunMissingDependencyError

_MERMAID_SUFFIXES = ("mmd", "mermaid", "md")
_DOT_SUFFIXES = ("dot", "gv")
_DOT_SHAPES = {"router": "doubleoctagon", "queue": "cds", "error_step": "box", "start": "egg"}
#: Around a node's text.
_MERMAID_SHAPES = {
    "router": ("{{", "}}"),
    "queue": ("[(", ")]"),
    "start": ("([", "])"),
    "error_step": ("[/", "/]"),
}
_START = "_start"


class _Node(NamedTuple):
    key: str
    text: str
    kind: str
    shape: str | None
    parent: str


class _Way(NamedTuple):
    first: str
    second: str
    is_of_errors: bool


class Drawing:
    """A graph as nodes and ways. Notebooks show it by themselves."""

    def __init__(self, nodes: list[_Node], ways: list[_Way]) -> None:
        self._nodes = nodes
        self._ways = ways

    def __repr__(self) -> str:
        return f"<Drawing of {len(self._nodes)} nodes>"

    @property
    def mermaid(self) -> str:
        """The text that Markdown viewers draw."""
        names = {node.key: f"n{number}" for number, node in enumerate(self._nodes)}
        lines = ["flowchart LR"]
        for node in self._nodes:
            left, right = _MERMAID_SHAPES.get(node.kind, ("[", "]"))
            text = node.text.replace('"', "#quot;").replace("\n", "<br/>")
            lines.append(f'  {names[node.key]}{left}"{text}"{right}')
        for way in self._ways:
            arrow = "-.->" if way.is_of_errors else "-->"
            lines.append(f"  {names[way.first]} {arrow} {names[way.second]}")
        return "\n".join(lines) + "\n"

    @property
    def dot(self) -> str:
        """The text that graphviz draws."""
        lines = ["digraph graph_of_steps {", "  rankdir=LR;"]
        for node in self._nodes:
            shape = node.shape or _DOT_SHAPES.get(node.kind, "ellipse")
            lines.append(f"  {_quoted(node.key)} [label={_quoted(node.text)}, shape={shape}];")
        for way in self._ways:
            style = " [style=dashed]" if way.is_of_errors else ""
            lines.append(f"  {_quoted(way.first)} -> {_quoted(way.second)}{style};")
        return "\n".join([*lines, "}"]) + "\n"

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self.mermaid}```\n"

    def __str__(self) -> str:
        return self.mermaid


def plot(
    graph: Any,
    filename: str | None = None,
    format: str | None = None,
    source: Any = None,
    targets: Any = None,
) -> Any:
    """A graph's drawing, also written to `filename` where one is given: .mmd, .md, .dot, or a format of graphviz.

    graphviz's object where its package is installed, else a Drawing. `source` and `targets`: steps that stand for
    what feeds the graph and what it feeds. Raises MLRunMissingDependencyError for pictures without graphviz.
    """
    drawing = Drawing(*_nodes_and_ways(graph, source, targets))
    suffix = filename.rpartition(".")[2].lower() if filename and "." in filename else ""
    kind = (format or suffix or "").lower()
    if filename and kind in _MERMAID_SUFFIXES:
        text = drawing._repr_markdown_() if kind == "md" else drawing.mermaid
        _write(filename, text)
        return drawing
    if filename and kind in _DOT_SUFFIXES:
        _write(filename, drawing.dot)
        return drawing
    picture = _of_graphviz(drawing)
    if filename:
        if picture is None:
            raise MLRunMissingDependencyError(
                f"{filename} cannot be drawn without the package graphviz; .mmd (Mermaid) and "
                ".dot need nothing"
            )
        stem = filename[: -len(suffix) - 1] if suffix else filename
        picture.render(stem, format=kind or "png", cleanup=True)
    return drawing if picture is None else picture


def _nodes_and_ways(graph: Any, source: Any, targets: Any) -> tuple[list[_Node], list[_Way]]:
    nodes: list[_Node] = []
    ways: list[_Way] = []
    if hasattr(graph, "routes"):
        _add_router(nodes, ways, graph, "router")
        starts = ["router"]
        ends = ["router"]
    elif hasattr(graph, "steps"):
        starts, ends = _add_flow(nodes, ways, graph)
    else:
        raise GraphError(f"{brief(graph)} is not a graph that could be drawn")
    first = _Node(_START, getattr(source, "name", None) or "start", "start", None, "")
    nodes.insert(0, first)
    ways[:0] = [_Way(_START, name, False) for name in starts]
    for target in targets or ():
        key = f"_target/{getattr(target, 'name', target)}"
        nodes.append(_Node(key, str(getattr(target, "name", target)), "queue", None, ""))
        after = [name for name in getattr(target, "after", ()) if name] or ends
        ways.extend(_Way(name, key, False) for name in after)
    return nodes, ways


def _add_flow(nodes: list[_Node], ways: list[_Way], flow: Any) -> tuple[list[str], list[str]]:
    handlers = {step.on_error for step in flow.steps.values() if step.on_error}
    handlers.add(flow.on_error)
    followed: set[str] = set()
    starts = []
    for name, step in flow.steps.items():
        if hasattr(step, "routes"):
            _add_router(nodes, ways, step, name)
        else:
            nodes.append(_Node(name, _text(step), step.kind, step.shape, ""))
        ways.extend(_Way(before, name, False) for before in step.after)
        followed.update(step.after)
        ways.extend(_Way(name, after, False) for after in getattr(step, "before", ()))
        if step.on_error:
            ways.append(_Way(name, step.on_error, True))
        if not step.after and name not in handlers and step.kind != "error_step":
            starts.append(name)
    ends = [name for name in flow.steps if name not in followed and name not in handlers]
    return starts, ends


def _add_router(nodes: list[_Node], ways: list[_Way], router: Any, key: str) -> None:
    nodes.append(_Node(key, _text(router) or "router", "router", router.shape, ""))
    for name, route in router.routes.items():
        route_key = f"{key}/{name}"
        nodes.append(_Node(route_key, name, "task", route.shape, key))
        ways.append(_Way(key, route_key, False))


def _text(step: Any) -> str:
    return f"{step.name}\n({step.function})" if step.function else str(step.name)


def _of_graphviz(drawing: Drawing) -> Any:
    from importlib import import_module

    try:
        graphviz: Any = import_module("graphviz")
    except ImportError:
        return None
    return graphviz.Source(drawing.dot)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _write(filename: str, text: str) -> None:
    with open(filename, "w", encoding="utf-8") as file:
        file.write(text)
