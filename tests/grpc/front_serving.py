"""A gRPC front on a port of its own before a host without workers, and the client of the gRPC project."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import pytest
from support.played_host import PlayedHost

from mms.core import Request
from mms.grpc import GrpcFront
from mms.observe import RecentErrors
from mms.settings import Address, Settings
from mms.sockets.listeners import listen

WAIT_S = 30.0


PROTOBUF_LINE = b"Content-Type: application/x-protobuf\r\n"
JSON_LINE = b"Content-Type: application/json\r\n"


def echo_protobuf(request: Request) -> None:
    request.answer(200, b"OK", PROTOBUF_LINE, bytes(request.body))


class Served:
    """A front under test."""

    def __init__(self, front: GrpcFront, host: PlayedHost, port: int) -> None:
        self.front = front
        self.host = host
        self.port = port
        self.records: list[tuple[Any, ...]] = []
        self.errors = RecentErrors()


class Client:
    """Calls methods with raw bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def start(
        self, path: str, body: bytes = b"", **options: Any
    ) -> grpc.aio.UnaryUnaryCall[bytes, bytes]:
        return self.channel.unary_unary(path)(body, **options)

    async def call(self, path: str, body: bytes = b"", **options: Any) -> bytes:
        options.setdefault("timeout", WAIT_S)
        return bytes(await self.start(path, body, **options))

    async def fail(self, path: str, body: bytes = b"", **options: Any) -> grpc.aio.AioRpcError:
        """The error of a call that must fail."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(path, body, **options)
        return caught.value


Serve = Callable[..., "contextlib.AbstractAsyncContextManager[Served]"]


@contextlib.asynccontextmanager
async def serve(
    settings: Settings | None = None,
    *,
    scheme: str = "grpc",
    context: ssl.SSLContext | None = None,
    path: str = "",
    **values: Any,
) -> AsyncIterator[Served]:
    settings = settings or Settings()
    settings.grpc_address = Address(scheme, "127.0.0.1" if scheme != "unix" else "", 0, path)
    for name, value in values.items():
        settings.put(name, value)
    servers: list[asyncio.AbstractServer] = []

    async def listen_and_keep(*arguments: Any) -> asyncio.AbstractServer:
        servers.append(await listen(*arguments))
        return servers[-1]

    def make_context(protocols: Sequence[str]) -> ssl.SSLContext:
        assert context is not None
        context.set_alpn_protocols(list(protocols))
        return context

    host = PlayedHost(iris="seldon")
    host.on_submit = echo_protobuf
    records: list[tuple[Any, ...]] = []
    errors = RecentErrors()
    front = GrpcFront(
        settings,
        host,  # type: ignore[arg-type]  # what the front needs of a host
        records.append,
        errors.note,
        listen=listen_and_keep,
        make_context=make_context,
    )
    await front.start()
    port = 0
    if scheme != "unix":
        port = servers[0].sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    served = Served(front, host, port)
    served.records = records
    served.errors = errors
    try:
        yield served
    finally:
        await front.stop_listening()
        await front.close()
