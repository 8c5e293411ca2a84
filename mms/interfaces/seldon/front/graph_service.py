"""A registered graph: answers requests by asking its nodes, in the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from mms.bodies.large_json import apart
from mms.core import Request
from mms.errors import (
    CLIENT_CLOSED_REQUEST,
    BadRequest,
    ModelNotFound,
    ServerError,
    ServiceUnavailable,
    WorkerFailure,
)
from mms.interfaces.seldon.front.graph_calls import CallContext, NodeCalls, read_headers
from mms.interfaces.seldon.front.graph_metadata import GraphMetadata
from mms.interfaces.seldon.front.graph_metrics import GraphMetrics, ServerLabels
from mms.interfaces.seldon.graph import (
    Graph,
    Message,
    Node,
    NodeFailed,
    Step,
    run_feedback,
    run_predict,
)
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF, dumps, loads
from mms.serving.served import CompositeModel

if TYPE_CHECKING:
    from mms.core.request import Buffer
    from mms.interfaces.seldon.tensors.graph import GraphTensors

logger = logging.getLogger("mms.serving")

_PREDICT: Final = "predict"
_GRPC: Final = b"application/grpc"
_SERVICES: Final = {
    _PREDICT: "predictions",
    "send-feedback": "feedback",
    "health-status": "status",
    "metadata": "metadata",
    "graph-metadata": "metadata",
}


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class GraphService(CompositeModel):
    """Answers the requests to one graph."""

    graph: Graph
    calls: NodeCalls
    metrics: GraphMetrics
    #: A failed route call keeps its status alone, as with Seldon's executor.
    is_strict: bool
    #: Whether the client is told which way its request took.
    has_routing: bool
    #: Raises NodeMissing where a node is no model of this server by now.
    check_nodes: Callable[[], None]
    _metadata: GraphMetadata = field(init=False)
    #: Of requests in protocols of tensors, from the first one on.
    _tensors: GraphTensors | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._metadata = GraphMetadata(self.name, self.graph, self.calls)

    # What it shows

    @property
    def takes_tensors(self) -> bool:
        return True

    @property
    def kind(self) -> str:
        return "graph"

    @property
    def is_ready(self) -> bool:
        """Every node that is a model of this server has a worker that has loaded."""
        return not self._unready()

    def _unready(self) -> list[str]:
        return [node.name for node in self.graph.root.walk() if not self.calls.is_ready(node)]

    def uses(self, name: str) -> bool:
        return any(
            node.is_local and self.calls.model_of(node) == name for node in self.graph.nodes()
        )

    def worker_counts(self) -> dict[str, int]:
        """Return how many workers models have by GUNICORN_WORKERS of the document's containers."""
        return {
            self.calls.model_of(node): node.workers
            for node in self.graph.nodes()
            if node.is_local and node.workers is not None
        }

    def check_dependencies(self) -> None:
        self.check_nodes()

    def describe_graph(self) -> dict[str, Any]:
        """Return predictor, state, and the nodes from the root down: JSON-able."""
        nodes = []
        for node in self.graph.root.walk():
            is_ready = self.calls.is_ready(node)
            described: dict[str, Any] = {
                "name": node.name,
                "type": node.type.value,
                "state": "READY" if is_ready else "UNREADY",
            }
            if node.builtin is not None or node.server is not None:
                described["implementation"] = node.kind
            if node.weights is not None:
                described["weights"] = node.weights
            if node.bandit is not None:
                described["arms"] = node.bandit.statistics()
            if node.methods:
                described["methods"] = list(node.methods)
            if node.endpoint is not None:
                described["endpoint"] = node.endpoint.url
            elif node.is_local:
                described["model"] = self.calls.model_of(node)
            if node.children:
                described["children"] = [child.name for child in node.children]
            nodes.append(described)
        return {
            "predictor": self.graph.predictor,
            "state": "READY" if self.is_ready else "UNREADY",
            "runningRequests": self.running,
            "nodes": nodes,
        }

    # Requests

    async def answer(self, request: Request) -> None:
        started = time.monotonic()
        asked = request.operation
        operation, unit = (asked.name, asked.node.name) if asked is not None else (_PREDICT, "")
        # The client has gone, or was told that its time is over.
        status = CLIENT_CLOSED_REQUEST
        try:
            headers = read_headers(request.headers)
            context = CallContext(request, headers, self.name, self.graph)
            if asked is not None and asked.protocol:
                operation = _PREDICT
                reply = await self._reply_to_tensors(request, context)
            else:
                query = request.query if request.passes_query else b""
                message = Message(request.body, request.content_type, query, is_raw=True)
                reply = await self._reply(operation, unit, message, context)
            status = reply.status
            lines = reply.headers or b"Content-Type: %b\r\n" % (reply.content_type or JSON)
            request.answer(status, reply.phrase, lines, reply.body)
        except asyncio.CancelledError:
            # Whoever cancelled it has answered the client, or knows that it has gone.
            request.is_done = True
        except ServerError as error:
            status = error.http_status
            request.fail(error)
        except Exception:
            # What failed is told where the run ends.
            status = 500
            raise
        finally:
            is_protobuf = request.content_type.startswith((PROTOBUF, _GRPC))
            labels = ServerLabels(
                str(status),
                "unary" if is_protobuf else "post",
                _SERVICES.get(operation, operation),
                self.graph.deployment or self.name,
                self.graph.predictor,
                self.graph.predictor_version,
            )
            self.metrics.observe_server(labels, time.monotonic() - started)

    async def _reply(
        self, operation: str, unit: str, message: Message, context: CallContext
    ) -> Message:
        async def call(node: Node, step: Step, sent: Message) -> Message:
            return await self.calls.call(context, node, step.value, sent)

        try:
            if operation == _PREDICT and not unit:
                return await run_predict(self.graph, message, call, has_routing=self.has_routing)
            if operation == "send-feedback" and not unit:
                return await run_feedback(self.graph, message, call)
            if operation in ("metadata", "graph-metadata"):
                return await self._metadata.reply(operation, unit, message, context)
            if operation == "health-status":
                return await self._health(unit, message, context)
        except NodeFailed as failed:
            if self.is_strict and failed.operation == Step.ROUTE.value:
                return _generic_error(failed)
            return failed.reply
        raise BadRequest(
            f"{self.name} is a graph: it answers predict and send-feedback, not {operation}."
        )

    async def _reply_to_tensors(self, request: Request, context: CallContext) -> Message:
        if self._tensors is None:
            self._tensors = await asyncio.to_thread(self._open_tensors)
        tensors = self._tensors
        call = await apart(len(request.body), tensors.read, request)

        async def ask(node: Node, step: Step, sent: Message) -> Message:
            return await self.calls.call(context, node, step.value, sent)

        try:
            reply = await run_predict(self.graph, call.message, ask, has_routing=False)
        except NodeFailed as failed:
            raise _failure_of(failed.reply) from None
        return await apart(len(reply.body), tensors.write, call, reply)

    def _open_tensors(self) -> GraphTensors:
        # Here, as it brings numpy, which most fronts have no use for.
        from mms.interfaces.seldon.tensors.graph import GraphTensors

        has_protobuf = find_spec("google.protobuf") is not None
        keeps_types = has_protobuf and all(node.endpoint is None for node in self.graph.nodes())
        return GraphTensors(self.name, self.version, keeps_types=keeps_types)

    async def _health(self, unit: str, message: Message, context: CallContext) -> Message:
        if unit:
            node = self.graph.find(unit)
            if node is None:
                raise ModelNotFound(f"The graph {self.name} has no node {unit}.")
            if node.builtin is None:
                return await self.calls.call(context, node, "health-status", message)
        unready = self._unready()
        if unready:
            raise ServiceUnavailable(
                f"The graph {self.name} is not ready: no worker has loaded {', '.join(unready)}.",
                retry_after_s=1,
            )
        if message.is_protobuf:
            # SeldonMessage.strData is field 5.
            return Message(b"\x2a\x07healthy", PROTOBUF)
        return Message(b'{"meta":{},"strData":"healthy"}\n', JSON)


def _generic_error(failed: NodeFailed) -> Message:
    status: dict[str, Any] = {"code": failed.reply.status, "info": str(failed)}
    body: Buffer = dumps({"status": status | {"status": "FAILURE"}})
    return Message(body, JSON, status=failed.reply.status, phrase=failed.reply.phrase)


def _failure_of(reply: Message) -> ServerError:
    """Return what a client of tensors is told of a node's error."""
    text = bytes(reply.body).decode("utf-8", "replace")
    if not reply.content_type.startswith(PROTOBUF):
        try:
            status = loads(reply.body)["status"]
            text = str(status.get("info") or status.get("reason") or text)
        except (ValueError, LookupError, TypeError, AttributeError):
            pass
    return WorkerFailure(text.strip(), reply.status)
