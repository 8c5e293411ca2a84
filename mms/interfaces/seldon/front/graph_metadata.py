"""What a graph answers about itself: its nodes' metadata, asked for when somebody wants to know."""

from __future__ import annotations

import asyncio
from typing import Any

from mms.bodies.large_json import apart
from mms.errors import InternalServerError, ModelNotFound
from mms.interfaces.seldon.front.graph_calls import CallContext, NodeCalls
from mms.interfaces.seldon.graph import Graph, Message, Node
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF, dumps, loads, read_protobuf
from mms.interfaces.seldon.graph.metadata import graph_metadata


class GraphMetadata:
    """Answers the operations `metadata` and `graph-metadata` of a graph."""

    def __init__(self, name: str, graph: Graph, calls: NodeCalls) -> None:
        self._name = name
        self._graph = graph
        self._calls = calls

    def __repr__(self) -> str:
        return f"<GraphMetadata {self._name}>"

    async def reply(
        self, operation: str, unit: str, message: Message, context: CallContext
    ) -> Message:
        """Return the metadata of a node where `unit`, or a gRPC request's name, says which; else of the graph.

        Raises ModelNotFound for a name that is no node's, and what a node's call raises.
        """
        if operation == "metadata":
            if message.is_protobuf and not unit:
                # A gRPC client that wants a model's metadata gets a model's: without a name, the root's.
                asked = await apart(len(message.body), _asked_name, message)
                unit = self._graph.root.name if asked in ("", self._name) else asked
            if unit:
                return await self._of_node(unit, message, context)
        document = await self._of_graph(context)
        if not message.is_protobuf:
            return Message(dumps(document), JSON)
        return Message(_graph_protobuf(document), PROTOBUF)

    async def _of_node(self, unit: str, message: Message, context: CallContext) -> Message:
        node = self._graph.find(unit)
        if node is None:
            raise ModelNotFound(f"The graph {self._name} has no node {unit}.")
        if node.builtin is not None or (node.endpoint is not None and message.is_protobuf):
            found = await self._document(node, context)
            return _in_form(found, message)
        return await self._calls.call(context, node, "metadata", message)

    async def _of_graph(self, context: CallContext) -> dict[str, Any]:
        nodes = [node for node in self._graph.nodes() if node.builtin is None]
        found = await asyncio.gather(*(self._document(node, context) for node in nodes))
        models = {node.name: document for node, document in zip(nodes, found, strict=True)}
        return graph_metadata(self._graph, models, self._name)

    async def _document(self, node: Node, context: CallContext) -> dict[str, Any]:
        if node.builtin is not None:
            name = node.builtin.value
            return {"name": name, "versions": [], "platform": "", "inputs": [], "outputs": []}
        reply = await self._calls.call(context, node, "metadata", Message(b"", JSON))
        try:
            document = await apart(len(reply.body), loads, reply.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise InternalServerError(f"The metadata of node {node.name} is not a JSON object.")
        return document


def _asked_name(message: Message) -> str:
    from mms.interfaces.seldon.codec.messages import SeldonModelMetadataRequest

    return str(read_protobuf(SeldonModelMetadataRequest, message.body).name)


def _in_form(document: dict[str, Any], message: Message) -> Message:
    if not message.is_protobuf:
        return Message(dumps(document), JSON)
    from google.protobuf import json_format

    from mms.interfaces.seldon.codec.messages import SeldonModelMetadata

    found = json_format.ParseDict(document, SeldonModelMetadata(), ignore_unknown_fields=True)
    return Message(found.SerializeToString(), PROTOBUF)


def _graph_protobuf(document: dict[str, Any]) -> bytes:
    from google.protobuf import json_format

    from mms.interfaces.seldon.codec.messages import SeldonGraphMetadata

    renamed = {
        "name": document["name"],
        "models": document["models"],
        "inputs": document["graphinputs"],
        "outputs": document["graphoutputs"],
    }
    found = json_format.ParseDict(renamed, SeldonGraphMetadata(), ignore_unknown_fields=True)
    return bytes(found.SerializeToString())
