"""Remote nodes of graphs: Seldon endpoints over REST and gRPC, played by servers of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from aiohttp import web

from mms.errors import BadRequest, InternalServerError, RequestTimeout, WorkerFailure
from mms.interfaces.seldon.codec.messages import SeldonMessage, SeldonModelMetadata
from mms.interfaces.seldon.front.graph_remote import RemoteCalls, check_endpoints
from mms.interfaces.seldon.graph import Endpoint, Graph, Message, Node, NodeType
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF
from mms.limits.networks import LOOPBACK, PUBLIC_ONLY
from mms.repository.sources import Sources

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]
HEADERS = [(b"Seldon-Puid", b"p1"), (b"X-Own", b"mine")]
X = Message(b'{"strData":"x"}', JSON)


@pytest.fixture
async def remote() -> AsyncIterator[RemoteCalls]:
    calls = RemoteCalls(10_000, 5.0)
    yield calls
    await calls.close()


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Node]:
    """A node that is answered by `serve`."""
    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield Node("n", NodeType.MODEL, endpoint=Endpoint("127.0.0.1", port))
    finally:
        await runner.cleanup()


async def test_a_node_gets_body_type_query_and_headers_and_its_reply_is_passed_on(
    remote: RemoteCalls,
) -> None:
    seen: list[web.Request] = []

    async def serve(request: web.Request) -> web.Response:
        seen.append(request)
        assert await request.read() == b"a=1"
        return web.Response(text='{"strData":"y"}', content_type="application/json")

    sent = Message(b"a=1", b"application/x-www-form-urlencoded", b"json=%7B%7D", is_raw=True)
    async with serving(serve) as node:
        reply = await remote.call(node, "transform-input", sent, HEADERS, None)
    assert (reply.status, reply.body, reply.content_type) == (200, b'{"strData":"y"}', JSON)
    (request,) = seen
    assert (request.method, request.raw_path) == ("POST", "/transform-input?json=%7B%7D")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (request.headers["Seldon-Puid"], request.headers["X-Own"]) == ("p1", "mine")


async def test_a_connection_serves_many_calls(remote: RemoteCalls) -> None:
    connections = set()

    async def serve(request: web.Request) -> web.Response:
        connections.add(request.transport)
        return web.Response(text="{}")

    async with serving(serve) as node:
        for _ in range(5):
            await remote.call(node, "predict", X, HEADERS, None)
        await remote.close()
    assert len(connections) == 1


async def test_a_nodes_error_keeps_its_status_and_body(remote: RemoteCalls) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(status=409, text='{"mine":1}', content_type="application/json")

    async with serving(serve) as node:
        reply = await remote.call(node, "predict", X, HEADERS, None)
    assert (reply.status, reply.phrase, reply.body) == (409, b"Conflict", b'{"mine":1}')


async def test_metadata_and_health_are_read(remote: RemoteCalls) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.json_response([request.method, request.path])

    async with serving(serve) as node:
        replies = [
            json.loads((await remote.call(node, word, Message(b"", JSON), HEADERS, None)).body)
            for word in ("metadata", "health-status")
        ]
    assert replies == [["GET", "/metadata"], ["GET", "/health/status"]]


async def test_protobuf_goes_to_a_rest_node_as_json_and_comes_back(remote: RemoteCalls) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.json_response({"strData": (await request.json())["strData"] + "!"})

    sent = Message(SeldonMessage(strData="x").SerializeToString(), PROTOBUF, is_raw=True)
    async with serving(serve) as node:
        reply = await remote.call(node, "predict", sent, HEADERS, None)
    assert SeldonMessage.FromString(reply.body).strData == "x!"
    assert reply.headers == b"Content-Type: application/x-protobuf\r\n"


async def test_a_node_that_is_not_there_is_named(remote: RemoteCalls) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response()

    async with serving(serve) as node:
        pass
    with pytest.raises(InternalServerError, match="Node n at http://127.0.0.1:.* be reached"):
        await remote.call(node, "predict", X, HEADERS, None)


async def test_a_slow_node_is_given_its_time_alone(remote: RemoteCalls) -> None:
    is_over = asyncio.Event()

    async def serve(request: web.Request) -> web.Response:
        await is_over.wait()
        return web.Response()

    async with serving(serve) as node:
        with pytest.raises(RequestTimeout, match=r"Node n at .* within 0\.1 seconds"):
            await remote.call(node, "predict", X, HEADERS, 0.1)
        is_over.set()


async def test_a_reply_over_the_limit_is_refused(remote: RemoteCalls) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 20_000)

    async with serving(serve) as node:
        with pytest.raises(InternalServerError, match="larger than max_response_size"):
            await remote.call(node, "predict", X, HEADERS, None)


async def test_a_redirect_is_not_followed(remote: RemoteCalls) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    async with serving(serve) as node:
        assert (await remote.call(node, "predict", X, HEADERS, None)).status == 302


# gRPC


class Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every method by a function of (method, request, context)."""

    def __init__(self, answer: Callable[[str, bytes, Any], Awaitable[bytes]]) -> None:
        self._answer = answer

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method

        async def serve(request: bytes, context: Any) -> bytes:
            return await self._answer(method, request, context)

        return grpc.unary_unary_rpc_method_handler(serve)


@contextlib.asynccontextmanager
async def serving_grpc(
    answer: Callable[[str, bytes, Any], Awaitable[bytes]],
) -> AsyncIterator[Node]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Methods(answer),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Node("n", NodeType.MODEL, endpoint=Endpoint("127.0.0.1", port, is_grpc=True))
    finally:
        await server.stop(0)


async def echo(method: str, request: bytes, context: Any) -> bytes:
    text = SeldonMessage.FromString(request).strData
    puid = dict(context.invocation_metadata())["seldon-puid"]
    return bytes(SeldonMessage(strData=f"{method} {text} {puid}").SerializeToString())


@pytest.mark.parametrize(
    ("operation", "method"),
    [
        ("predict", "Model/Predict"),
        ("transform-input", "Transformer/TransformInput"),
        ("transform-output", "OutputTransformer/TransformOutput"),
        ("route", "Router/Route"),
    ],
)
async def test_a_grpc_node_is_asked_by_the_method_of_the_call(
    remote: RemoteCalls, operation: str, method: str
) -> None:
    async with serving_grpc(echo) as node:
        sent = Message(SeldonMessage(strData="x").SerializeToString(), PROTOBUF)
        reply = await remote.call(node, operation, sent, HEADERS, None)
        in_json = await remote.call(node, operation, X, HEADERS, None)
    expected = f"/seldon.protos.{method} x p1"
    assert SeldonMessage.FromString(reply.body).strData == expected
    assert json.loads(in_json.body) == {"strData": expected}


async def test_a_grpc_nodes_error_has_its_code_as_a_status(remote: RemoteCalls) -> None:
    async def refuse(method: str, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not this")
        raise AssertionError

    async with serving_grpc(refuse) as node:
        with pytest.raises(WorkerFailure, match="not this") as caught:
            await remote.call(node, "predict", X, HEADERS, None)
    assert (caught.value.http_status, caught.value.type_name) == (400, "INVALID_ARGUMENT")


async def test_a_slow_or_absent_grpc_node_is_named(remote: RemoteCalls) -> None:
    is_over = asyncio.Event()

    async def wait(method: str, request: bytes, context: Any) -> bytes:
        await is_over.wait()
        return b""

    async with serving_grpc(wait) as node:
        with pytest.raises(RequestTimeout, match="Node n at grpc://"):
            await remote.call(node, "predict", X, HEADERS, 0.1)
        is_over.set()
    with pytest.raises(InternalServerError, match="Node n at grpc://.* cannot be reached"):
        await remote.call(node, "predict", X, HEADERS, 1.0)


async def test_metadata_of_a_grpc_node_is_json(remote: RemoteCalls) -> None:
    async def metadata(method: str, request: bytes, context: Any) -> bytes:
        assert method == "/seldon.protos.Model/Metadata"
        return bytes(SeldonModelMetadata(name="m", versions=["1"]).SerializeToString())

    async with serving_grpc(metadata) as node:
        reply = await remote.call(node, "metadata", Message(b"", JSON), HEADERS, None)
    assert json.loads(reply.body) == {"name": "m", "versions": ["1"]}


async def test_a_name_that_leads_to_an_address_that_is_not_allowed_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[web.Request] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(text="{}")

    addresses = {"moving.example": ["127.0.0.1", "10.0.0.1"]}
    usual = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in addresses:
            return usual(host, port, *args, **kwargs)
        known = addresses[host]
        address = known.pop(0) if len(known) > 1 else known[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    calls = RemoteCalls(10_000, 5.0, LOOPBACK)
    async with serving(serve) as node:
        assert node.endpoint is not None
        for is_grpc in (False, True):
            addresses["moving.example"] = ["127.0.0.1", "10.0.0.1"]
            endpoint = Endpoint("moving.example", node.endpoint.port, is_grpc)
            moving = Node("n", NodeType.MODEL, endpoint=endpoint)
            if is_grpc:
                # The server there does not speak it.
                with pytest.raises((InternalServerError, WorkerFailure)):
                    await calls.call(moving, "predict", X, HEADERS, None)
            else:
                await calls.call(moving, "predict", X, HEADERS, None)
            await calls.close()
            with pytest.raises(InternalServerError, match=r"is 10\.0\.0\.1, a private address"):
                await calls.call(moving, "predict", X, HEADERS, None)
            await calls.close()
    assert len(asked) == 1


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "::1", "2130706433", "0x7f.1"])
def test_an_endpoint_at_an_address_that_is_not_allowed_is_refused(host: str) -> None:
    graph = Graph(Node("n", NodeType.MODEL, endpoint=Endpoint(host, 80)))
    with pytest.raises(BadRequest, match="Node 'n' at http://.* is not allowed: .* address"):
        check_endpoints(graph, Sources.of(None, PUBLIC_ONLY))
    check_endpoints(graph, Sources.of(None, PUBLIC_ONLY).of_operator)
