"""Nodes of graphs that are served elsewhere: Seldon endpoints over REST, and over gRPC where it is installed."""

from __future__ import annotations

import asyncio
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mms.bodies.large_json import apart
from mms.errors import BadRequest, InternalServerError, InvalidModel, RequestTimeout, WorkerFailure
from mms.interfaces.seldon.graph import Endpoint, Graph, Message, Node, Step
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF, dumps
from mms.interfaces.seldon.graph.transcode import reply_in_form_of, to_json, to_protobuf
from mms.limits.networks import ANY, Networks, is_address
from mms.repository.sources import Sources
from mms.text.brief import brief

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: Connections to all remote nodes together, and how long an idle one is kept, in seconds.
_MAX_CONNECTIONS: Final = 512
_KEEP_ALIVE_S: Final = 60.0
#: A node that does not accept a connection within this time counts as gone, in seconds.
_CONNECT_S: Final = 10.0
_CHUNK_BYTES: Final = 256 * 1024

_METHODS: Final = {
    "predict": "/seldon.protos.Model/Predict",
    "transform-input": "/seldon.protos.Transformer/TransformInput",
    "transform-output": "/seldon.protos.OutputTransformer/TransformOutput",
    "route": "/seldon.protos.Router/Route",
    "aggregate": "/seldon.protos.Combiner/Aggregate",
    "send-feedback": "/seldon.protos.Model/SendFeedback",
    "metadata": "/seldon.protos.Model/Metadata",
}
#: Headers that a node gets as metadata.
_GRPC_HEADERS: Final = frozenset((b"seldon-puid", b"traceparent", b"tracestate"))
_READS: Final = {"metadata": "/metadata", "health-status": "/health/status"}

#: HTTP statuses of gRPC codes, by their names, as gRPC's own gateway maps them.
_STATUSES: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def check_endpoints(graph: Graph, sources: Sources) -> None:
    """Raise BadRequest for an endpoint that is not allowed, InvalidModel where gRPC is wanted and absent."""
    for node in graph.nodes():
        if node.endpoint is None:
            continue
        sources.urls.check(node.endpoint.url)
        _check_address(node, node.endpoint, sources.endpoint_networks)
        if node.endpoint.is_grpc and find_spec("grpc") is None:
            raise InvalidModel(
                f"Node {brief(node.name)} is reached by gRPC, which needs the extra: "
                "pip install 'marserve[grpc]'."
            )


def _check_address(node: Node, endpoint: Endpoint, networks: Networks) -> None:
    """Raise BadRequest for an address that is not allowed; names are looked at with each connection."""
    if not is_address(endpoint.host):
        return
    try:
        networks.resolve(endpoint.host, endpoint.port)
    except OSError as error:
        raise BadRequest(
            f"Node {brief(node.name)} at {endpoint.url} is not allowed: {error}."
        ) from None


class _Call(NamedTuple):
    node: Node
    endpoint: Endpoint
    operation: str
    message: Message
    headers: list[tuple[bytes, bytes]]
    timeout_s: float

    def too_slow(self) -> RequestTimeout:
        return RequestTimeout(
            f"Node {self.node.name} at {self.endpoint.url} did not answer within {self.timeout_s:g} seconds."
        )

    def unreachable(self, reason: str) -> InternalServerError:
        return InternalServerError(
            f"Node {self.node.name} at {self.endpoint.url} cannot be reached: {reason}"
        )


class RemoteCalls:
    """Owner of the connections to remote nodes, which are kept between calls."""

    def __init__(self, max_reply_bytes: int, timeout_s: float, networks: Networks = ANY) -> None:
        """`timeout_s`: for a call, where its graph has no limit of its own. `networks`: where names may lead to."""
        self._networks = networks
        self._max_reply_bytes = max_reply_bytes
        self._timeout_s = timeout_s
        self._session: ClientSession | None = None
        self._channels: dict[Endpoint, Any] = {}

    def __repr__(self) -> str:
        return f"<RemoteCalls {len(self._channels)} gRPC channels>"

    async def call(
        self,
        node: Node,
        operation: str,
        message: Message,
        headers: list[tuple[bytes, bytes]],
        timeout_s: float | None,
    ) -> Message:
        """Ask a node. Raises InternalServerError where it cannot be reached, RequestTimeout where it is too slow."""
        endpoint = node.endpoint
        if endpoint is None:
            raise ValueError(f"node {node.name} is not remote")
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        call = _Call(node, endpoint, operation, message, headers, timeout_s)
        return await (self._call_grpc(call) if endpoint.is_grpc else self._call_rest(call))

    async def _call_rest(self, call: _Call) -> Message:
        from aiohttp import ClientError, ClientTimeout
        from yarl import URL

        operation, message = call.operation, call.message
        url = f"http://{call.endpoint.address}{_READS.get(operation, '/' + operation)}"
        sent = message
        if message.is_protobuf and operation not in _READS:
            sent = await apart(len(message.body), to_json, message, Step(operation))
        if sent.is_raw and sent.query:
            url += "?" + sent.query.decode("latin-1")
        lines = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in call.headers
            if name.lower() != b"accept-encoding"  # what the client can decode, not we
        ]
        if sent.content_type:
            lines.append(("Content-Type", sent.content_type.decode("latin-1")))
        try:
            async with self._http().request(
                "GET" if operation in _READS else "POST",
                URL(url, encoded=True),
                data=None if operation in _READS else bytes(sent.body),
                headers=lines,
                allow_redirects=False,
                timeout=ClientTimeout(total=call.timeout_s, sock_connect=_CONNECT_S),
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > self._max_reply_bytes:
                        raise InternalServerError(
                            f"The reply of node {call.node.name} is larger than max_response_size, "
                            f"{self._max_reply_bytes} bytes."
                        )
                content_type = response.headers.get("Content-Type", "application/json")
                reply = Message(
                    bytes(body),
                    JSON,
                    status=response.status,
                    phrase=(response.reason or "").encode("latin-1", "replace"),
                    headers=f"Content-Type: {content_type}\r\n".encode("latin-1", "replace"),
                )
        except asyncio.TimeoutError:
            raise call.too_slow() from None
        except (ClientError, OSError, ValueError) as error:
            raise call.unreachable(str(error) or type(error).__name__) from None
        if reply.status != 200 or operation in _READS or not message.is_protobuf:
            return reply
        found = await apart(len(reply.body), reply_in_form_of, message, reply)
        return found._replace(headers=b"Content-Type: %b\r\n" % PROTOBUF)

    def _http(self) -> ClientSession:
        if self._session is None:
            # Imported late: it takes longer than all the rest of the server.
            from aiohttp import ClientSession, DummyCookieJar, TCPConnector

            from mms.repository.pinned_resolver import CheckedResolver

            connector = TCPConnector(
                limit=_MAX_CONNECTIONS,
                keepalive_timeout=_KEEP_ALIVE_S,
                resolver=CheckedResolver(self._networks),
            )
            self._session = ClientSession(connector=connector, cookie_jar=DummyCookieJar())
        return self._session

    async def _call_grpc(self, call: _Call) -> Message:
        import grpc

        operation, message, endpoint = call.operation, call.message, call.endpoint
        method = _METHODS.get(operation)
        if method is None:
            raise InternalServerError(
                f"Node {call.node.name} is reached by gRPC, without {operation}."
            )
        is_metadata = operation == "metadata"
        sent = Message(b"", PROTOBUF)
        if not is_metadata:
            sent = await apart(len(message.body), to_protobuf, message, Step(operation))
        metadata = [
            (name.lower().decode("latin-1"), value.decode("latin-1"))
            for name, value in call.headers
            if name.lower() in _GRPC_HEADERS
        ]
        try:
            channel = await self._channel(endpoint)
        except OSError as error:
            raise call.unreachable(str(error)) from None
        try:
            body = await channel.unary_unary(method)(
                bytes(sent.body),
                timeout=call.timeout_s,
                metadata=metadata,
            )
        except grpc.aio.AioRpcError as error:
            code, details = error.code().name, error.details() or ""
            if code == "DEADLINE_EXCEEDED":
                raise call.too_slow() from None
            if code == "UNAVAILABLE":
                await self._drop(endpoint, channel)
                raise call.unreachable(details) from None
            raise WorkerFailure(details, _STATUSES.get(code, 500), code) from None
        if is_metadata:
            return Message(await apart(len(body), _metadata_json, body), JSON)
        received = Message(body, PROTOBUF)
        reply = await apart(len(body), reply_in_form_of, message, received)
        form = PROTOBUF if reply.is_protobuf else JSON
        return reply._replace(headers=b"Content-Type: %b\r\n" % form)

    async def _channel(self, endpoint: Endpoint) -> Any:
        """Return a channel to a node. Raises OSError for a host without an address that may be asked."""
        channel = self._channels.get(endpoint)
        if channel is not None:
            return channel
        infos = await asyncio.to_thread(self._networks.resolve, endpoint.host, endpoint.port)
        family = infos[0][0]
        places = [info[4] for info in infos if info[0] == family]
        if family == socket.AF_INET6:
            target = "ipv6:" + ",".join(f"[{place[0]}]:{place[1]}" for place in places)
        else:
            target = "ipv4:" + ",".join(f"{place[0]}:{place[1]}" for place in places)
        # Another call may have been faster.
        channel = self._channels.get(endpoint)
        if channel is None:
            import grpc

            channel = grpc.aio.insecure_channel(
                target,
                options=(
                    ("grpc.default_authority", endpoint.address),
                    ("grpc.enable_http_proxy", 0),
                    ("grpc.max_receive_message_length", self._max_reply_bytes),
                    ("grpc.max_send_message_length", -1),
                ),
            )
            self._channels[endpoint] = channel
        return channel

    async def _drop(self, endpoint: Endpoint, channel: Any) -> None:
        """Have the next call look the host up again: it may have moved."""
        if endpoint in self._channels and self._channels[endpoint] is channel:
            del self._channels[endpoint]
            # Calls that are under way on it go on.
            await channel.close(self._timeout_s)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()


def _metadata_json(body: bytes) -> bytes:
    from google.protobuf import json_format

    from mms.interfaces.seldon.codec.messages import SeldonModelMetadata

    found = SeldonModelMetadata.FromString(body)
    return dumps(json_format.MessageToDict(found))
