"""The metadata of a graph, from that of its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mms.interfaces.seldon.graph.node import Graph, Node, NodeType


def graph_metadata(
    graph: Graph, models: Mapping[str, Mapping[str, Any]], default_name: str = ""
) -> dict[str, Any]:
    """Return `{"name", "models", "graphinputs", "graphoutputs"}`. `models`: node -> its metadata; built-ins have none.

    Inputs are those of the node that is called first, outputs those of the one that is called last; where there are
    several branches, the first one counts. `default_name`: of a graph whose document names no predictor.
    """
    return {
        "name": graph.predictor or default_name,
        "models": {name: dict(found) for name, found in models.items()},
        "graphinputs": _tensors(models, _first(graph.root), "inputs"),
        "graphoutputs": _tensors(models, _last(graph.root), "outputs"),
    }


def _first(node: Node) -> Node:
    if node.before is not None or not node.children:
        return node
    return _first(node.children[0])


def _last(node: Node) -> Node:
    is_last = node.after is not None or node.aggregates or node.type is NodeType.COMBINER
    if is_last or not node.children:
        return node
    return _last(node.children[0])


def _tensors(models: Mapping[str, Mapping[str, Any]], node: Node, member: str) -> list[Any]:
    return list(models.get(node.name, {}).get(member) or [])
