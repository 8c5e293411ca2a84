"""How a graph asks its nodes: as requests to models of this server, or over the net."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from mms.core import Request
from mms.errors import (
    CLIENT_CLOSED_REQUEST,
    InternalServerError,
    ModelNotFound,
    RequestTimeout,
    ServerError,
)
from mms.interfaces.seldon.front.graph_metrics import ClientLabels, GraphMetrics
from mms.interfaces.seldon.front.graph_remote import RemoteCalls
from mms.interfaces.seldon.graph import Graph, Message, Node, NodeFailed, Step
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF
from mms.interfaces.seldon.unit import NO_VERSION
from mms.serving.model_client import ModelClient
from mms.wire import GraphNode, ModelOperation

#: Describe the body that the client sent, or its connection; a node gets another body.
_NOT_PASSED_ON: Final = frozenset(
    (
        *(b"connection", b"content-length", b"content-type", b"expect", b"host", b"keep-alive"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        b"inference-header-content-length",
    )
)
_PUID: Final = b"seldon-puid"
_TRACEPARENT: Final = b"traceparent"


class CallContext:
    """What all calls of one request share."""

    __slots__ = ("graph", "graph_name", "headers", "request", "_block")

    def __init__(
        self, request: Request, headers: list[tuple[bytes, bytes]], graph_name: str, graph: Graph
    ) -> None:
        """`headers`: of the client, those that describe its body or its connection left out."""
        self.request = request
        self.graph_name = graph_name
        self.graph = graph
        if not any(name.lower() == _PUID for name, _ in headers):
            # The edge tells the client the same.
            headers.append((b"Seldon-Puid", request.id))
        self.headers = headers
        self._block: bytes | None = None

    def of_span(self, traceparent: bytes) -> CallContext:
        """Return the same for one call, whose node is to name this span as its parent."""
        headers = [pair for pair in self.headers if pair[0].lower() != _TRACEPARENT]
        headers.append((_TRACEPARENT, traceparent))
        return CallContext(self.request, headers, self.graph_name, self.graph)

    @property
    def block(self) -> bytes:
        """The headers as a request carries them."""
        if self._block is None:
            self._block = b"\n".join([part for pair in self.headers for part in pair])
        return self._block


def read_headers(block: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that nodes get, of a request's header block."""
    parts = block.split(b"\n")
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return [(name, value) for name, value in pairs if name.lower() not in _NOT_PASSED_ON]


def image_and_tag(image: str) -> tuple[str, str]:
    """Return (name, tag) of an image; the colon of a registry's port is none of a tag.

    `split_image` is Seldon's own rule for its components, which cuts at the last colon in any case.
    """
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "")


class NodeCalls:
    """Asks the nodes of one graph. `remote` is None where it has none.

    A node is the model `<graph>.<node>` where there is one, else the model of its own name.
    """

    def __init__(
        self,
        graph_name: str,
        graph: Graph,
        client: ModelClient,
        remote: RemoteCalls | None,
        metrics: GraphMetrics,
    ) -> None:
        self._client = client
        self._models = client.models
        self._remote = remote
        self._metrics = metrics
        self._names = {node.name: f"{graph_name}.{node.name}" for node in graph.nodes()}
        self._deployment = GraphNode(
            deployment=graph.deployment or graph_name,
            predictor=graph.predictor,
            predictor_version=graph.predictor_version,
        )

    def __repr__(self) -> str:
        return f"<NodeCalls of {len(self._names)} nodes>"

    def model_of(self, node: Node) -> str:
        """Return the name of a local node's model."""
        own = self._names[node.name]
        return own if self._models.has_model(own) else node.name

    def is_ready(self, node: Node) -> bool:
        """Remote nodes and built-ins count as ready."""
        if not node.is_local:
            return True
        return self._client.is_ready(self.model_of(node))

    async def call(
        self, context: CallContext, node: Node, operation: str, message: Message
    ) -> Message:
        """Return a node's reply. Raises NodeFailed for one that is no success, and errors of `mms.errors`."""
        started = time.monotonic()
        status = CLIENT_CLOSED_REQUEST
        parent = context.request.span
        span = None if parent is None else parent.begin_node(node.name, operation)
        if span is not None:
            context = context.of_span(span.context.header)
        try:
            reply = await self._ask(context, node, operation, message)
            status = reply.status
        except ServerError as error:
            status = error.http_status
            raise
        finally:
            self._observe(context, node, operation, status, time.monotonic() - started)
            if span is not None:
                span.end(status)
        if not 200 <= reply.status < 300:
            raise NodeFailed(node, operation, reply)
        return reply

    async def _ask(
        self, context: CallContext, node: Node, operation: str, message: Message
    ) -> Message:
        timeout_s = context.graph.timeout_s
        if node.endpoint is not None:
            if self._remote is None:
                raise InternalServerError(
                    f"Node {node.name} is remote, but this server has no way to call it."
                )
            return await self._remote.call(node, operation, message, context.headers, timeout_s)
        asking = self._ask_model(context, node, operation, message)
        if timeout_s is None:
            return await asking
        try:
            return await asyncio.wait_for(asking, timeout_s)
        except asyncio.TimeoutError:
            raise RequestTimeout(
                f"Node {node.name} did not answer within {timeout_s:g} seconds."
            ) from None

    async def _ask_model(
        self, context: CallContext, node: Node, operation: str, message: Message
    ) -> Message:
        client = context.request
        name = self.model_of(node)
        try:
            answer = await self._client.ask(
                name,
                None,
                id=client.id,
                headers=_header_block(context, message.content_type),
                content_type=message.content_type,
                body=message.body,
                query=message.query,
                passes_query=message.is_raw,
                deadline=client.deadline,
                operation=self._operation_of(node, name, operation),
            )
        except ModelNotFound:
            raise InternalServerError(
                f"Node {node.name} of the graph {context.graph_name} has no model any more."
            ) from None
        form = PROTOBUF if PROTOBUF in answer.headers.lower() else JSON
        return Message(
            answer.body,
            form,
            status=answer.status,
            phrase=answer.phrase,
            headers=answer.headers,
        )

    def _operation_of(self, node: Node, model: str, operation: str) -> ModelOperation | None:
        if self._models.interface_of(model) in ("seldon", "auto"):
            image = self._image_of(node, model)
            return ModelOperation(
                operation, node=self._deployment._replace(name=node.name, image=image)
            )
        if operation != Step.PREDICT.value:
            raise InternalServerError(
                f"Node {node.name} is an MMS handler, which can only predict, not {operation}."
            )
        return None

    def _image_of(self, node: Node, model: str) -> str:
        return node.image or f"{model}:{self._models.version_of(model) or NO_VERSION}"

    def _observe(
        self, context: CallContext, node: Node, operation: str, status: int, elapsed_s: float
    ) -> None:
        graph = context.graph
        image = node.image or ""
        if node.is_local:
            model = self.model_of(node)
            # It may have gone meanwhile.
            image = self._image_of(node, model) if self._models.has_model(model) else image
        image, version = image_and_tag(image)
        labels = ClientLabels(
            str(status),
            "unary" if node.endpoint is not None and node.endpoint.is_grpc else "post",
            f"/{operation}",
            graph.deployment or context.graph_name,
            graph.predictor,
            graph.predictor_version,
            node.name,
            image,
            version,
        )
        self._metrics.observe_client(labels, elapsed_s)


def _header_block(context: CallContext, content_type: bytes) -> bytes:
    block = context.block
    return b"%b\nContent-Type\n%b" % (block, content_type) if content_type else block
