"""The mean of children's replies, and the metadata of a graph."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.errors import InternalServerError
from mms.interfaces.seldon.codec.messages import SeldonMessage
from mms.interfaces.seldon.graph import Message, read_graph
from mms.interfaces.seldon.graph.builtin import average, simple_model
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF
from mms.interfaces.seldon.graph.metadata import graph_metadata


def message(document: object) -> Message:
    return Message(json.dumps(document).encode(), JSON)


def mean(*documents: object) -> Any:
    return json.loads(average("c", [message(document) for document in documents]).body)


def test_the_mean_has_the_form_and_the_names_of_the_first_reply() -> None:
    reply = mean(
        {"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}},
        {"data": {"names": ["x", "y"], "tensor": {"shape": [1, 2], "values": [3, 5]}}},
    )
    assert reply["data"] == {"names": ["a", "b"], "ndarray": [[2.0, 3.5]]}


def test_the_mean_of_tensors_is_a_tensor() -> None:
    tensor = {"data": {"tensor": {"shape": [2, 1], "values": [1.0, 2.0]}}}
    assert mean(tensor, tensor)["data"]["tensor"] == tensor["data"]["tensor"]


def test_meta_is_merged_as_a_combiner_does() -> None:
    def reply(puid: str, **tags: int) -> dict[str, Any]:
        meta = {
            "puid": puid,
            "tags": tags,
            "requestPath": {puid: "image"},
            "metrics": [{"key": puid, "type": "COUNTER", "value": 1}],
        }
        return {"meta": meta, "data": {"ndarray": [1]}}

    meta = mean(reply("p", a=1, both=1), reply("q", b=2, both=2))["meta"]
    assert meta["puid"] == "p"
    assert meta["tags"] == {"a": 1, "b": 2, "both": 2}
    assert meta["requestPath"] == {"p": "image", "q": "image"}
    assert [metric["key"] for metric in meta["metrics"]] == ["p", "q"]


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        (
            ({"data": {"ndarray": [1]}}, {"data": {"ndarray": [1, 2]}}),
            r"equal shape.*\(1,\), \(2,\)",
        ),
        (({"data": {"ndarray": ["a"]}},), "averages numbers"),
        (({"strData": "a"},), "averages numbers"),
    ],
)
def test_what_has_no_mean_names_the_node(documents: tuple[object, ...], told: str) -> None:
    with pytest.raises(InternalServerError, match=f"Node c .*{told}"):
        mean(*documents)


def test_protobuf_has_a_mean_too() -> None:
    replies = []
    for value in (1.0, 4.0):
        found = SeldonMessage()
        found.meta.tags[str(value)].number_value = value
        found.data.tensor.shape.extend((1, 1))
        found.data.tensor.values.append(value)
        replies.append(Message(found.SerializeToString(), PROTOBUF))
    reply = SeldonMessage.FromString(average("c", replies).body)
    assert list(reply.data.tensor.values) == [2.5]
    assert set(reply.meta.tags) == {"1.0", "4.0"}


def test_the_simple_model_answers_protobuf_with_the_meta_of_the_request() -> None:
    asked = SeldonMessage(strData="x")
    asked.meta.puid = "p"
    reply = SeldonMessage.FromString(
        simple_model(Message(asked.SerializeToString(), PROTOBUF)).body
    )
    assert list(reply.data.tensor.values) == [0.1, 0.9, 0.5]
    assert reply.meta.puid == "p"


# Metadata


def models(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {"inputs": [f"{name} in"], "outputs": [f"{name} out"]} for name in names}


def leaf(name: str) -> dict[str, Any]:
    return {"name": name, "type": "MODEL"}


@pytest.mark.parametrize(
    ("tree", "inputs", "outputs"),
    [
        (leaf("a"), "a in", "a out"),
        ({"name": "r", "type": "MODEL", "children": [leaf("a")]}, "r in", "a out"),
        ({"name": "r", "type": "TRANSFORMER", "children": [leaf("a")]}, "r in", "a out"),
        ({"name": "r", "type": "OUTPUT_TRANSFORMER", "children": [leaf("a")]}, "a in", "r out"),
        ({"name": "r", "type": "COMBINER", "children": [leaf("a"), leaf("b")]}, "a in", "r out"),
        ({"name": "r", "type": "ROUTER", "children": [leaf("a"), leaf("b")]}, "a in", "a out"),
    ],
)
def test_a_graphs_inputs_and_outputs_are_those_of_its_ends(
    tree: dict[str, Any], inputs: str, outputs: str
) -> None:
    graph = read_graph(json.dumps({"name": "main", "graph": tree}).encode())
    found = graph_metadata(graph, models("r", "a", "b"))
    assert (found["graphinputs"], found["graphoutputs"]) == ([inputs], [outputs])
    assert found["name"] == "main"
    assert set(found["models"]) == {"r", "a", "b"}
