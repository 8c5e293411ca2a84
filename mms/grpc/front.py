"""The gRPC front: its listener, the methods it serves, and the one timer that watches over connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mms.grpc.call import AskedOf, Call, Method
from mms.grpc.connection import GrpcConnection
from mms.grpc.head import CallHead
from mms.grpc.health import Health
from mms.grpc.reflection import Reflection
from mms.grpc.services import Place, interface_services
from mms.grpc.turns import FrameTurns
from mms.limits.connection_sweep import ConnectionSweep
from mms.limits.connections import ConnectionLimit, Refusal, catch_up
from mms.limits.inflating import Inflater
from mms.limits.memory import MemoryLimit
from mms.observe import events
from mms.observe.recent_errors import NoteError
from mms.observe.recorder import request_line
from mms.security import INFERENCE, Access, client_of, without_credentials
from mms.security.access import client_name

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Address, Settings

Listen = Callable[
    ["Address", Callable[[], asyncio.Protocol], "ssl.SSLContext | None"],
    Awaitable["OpenListener"],
]

_ALPN = "h2"
#: What clients of gRPC expect of any server.
_LEAST_MESSAGE_BYTES = 4 * 2**20


class OpenListener(Protocol):
    async def take_backlog(self) -> None:
        """Take the connections that clients have opened by now. To be called before `close`."""

    def close(self) -> None:
        """Take no more connections."""


class GrpcFront:
    """Owner of the listener, the methods and the connections."""

    def __init__(
        self,
        settings: Settings,
        host: ModelHost,
        record: Callable[[tuple[Any, ...]], None],
        note_error: NoteError,
        *,
        listen: Listen,
        make_context: Callable[[Sequence[str]], ssl.SSLContext],
        place: Place | None = None,
        access: Access | None = None,
        limit: ConnectionLimit | None = None,
        memory: MemoryLimit | None = None,
        inflater: Inflater | None = None,
    ) -> None:
        """`record`: takes a RequestRecord; `note_error`: id, model, version, status and message of an answer with an
        error. `listen`: opens a listener; `make_context`: key and certificate for TLS, given the protocols. `place`:
        where it listens with what; None: at `grpc_address`, with all. `access` None: all may call everything. `limit`,
        `memory`, `inflater`: what it shares with other fronts."""
        if place is None:
            assert settings.grpc_address is not None
            place = Place(settings.grpc_address, interface_services(settings, host))
        self._access = access
        self.has_access = access is not None
        self.trusts_request_ids = settings.trust_request_id
        self.max_message_bytes = settings.grpc_max_request_size or max(
            settings.max_request_size, _LEAST_MESSAGE_BYTES
        )
        self.keep_alive_timeout_s = settings.keep_alive_timeout_s
        self.head_timeout_s = settings.head_timeout_s
        self.body_timeout_s = settings.body_timeout_s
        self.connections: set[GrpcConnection] = set()
        self._limit = ConnectionLimit(settings.max_connections) if limit is None else limit
        self._limit.add(lambda: len(self.connections))
        self.memory = MemoryLimit.of_settings(settings) if memory is None else memory
        self.turns = FrameTurns()
        self.inflater = Inflater(settings.max_request_ratio) if inflater is None else inflater
        self._address = place.address
        self._host = host
        self._record = record
        self._note_error = note_error
        self._listen = listen
        self._make_context = make_context
        self._server: OpenListener | None = None
        self._sweep = ConnectionSweep(self.connections)
        self._is_empty = asyncio.Event()
        services = place.services
        files = [file for each in services for file in each.files()]
        health = Health(host, [name for _, names in files for name in names])
        self._reflection = Reflection([*files, *health.files()])
        self._methods: dict[bytes, Method] = {}
        for each in services:
            self._add(each.methods())
        self._add(health.methods())
        self._add(self._reflection.methods())

    def __repr__(self) -> str:
        return f"<GrpcFront {self._address}, {len(self.connections)} connections>"

    def _add(self, methods: Iterable[Method]) -> None:
        self._methods.update((method.path, method) for method in methods)

    # What connections ask

    def find(self, path: bytes) -> Method | None:
        return self._methods.get(path)

    def enter(self, head: CallHead, remote: str) -> CallHead:
        """Return the head without its key. Raises Unauthorized, Forbidden and TooManyRequests."""
        if self._access is None:
            return head
        headers = head.metadata.split(b"\n") if head.metadata else []
        pairs = zip(headers[::2], headers[1::2], strict=True)
        path = head.path.decode("latin-1")
        method = self._methods.get(head.path)
        roles = INFERENCE if method is None else method.roles
        found = self._access.enter(pairs, roles, remote, f"gRPC {path}")
        if self._access.limit is not None:
            head = head._replace(client=client_name(found.key) or client_of(remote))
        if not found.credentials:
            return head
        return head.without(without_credentials(headers, found))

    def charge(self, call: Call) -> None:
        """Raises TooManyRequests."""
        if self._access is not None and call.head.client:
            self._access.take(call.head.client)

    def dispatch_due(self) -> None:
        self._host.dispatch_due()

    def record(self, call: Call, http_status: int, problem: str) -> None:
        if http_status >= 400:
            self._note_error(call.id, call.model, call.version, http_status, problem)
        self.record_message(call, http_status, call)

    def record_message(self, call: Call, http_status: int, message: AskedOf) -> None:
        now = time.monotonic()
        self._record(
            (
                now,
                request_line(
                    call.connection.remote, "POST", call.head.path.decode("latin-1"), "HTTP/2.0"
                ),
                http_status,
                now - message.received_at,
                message.model,
                message.version,
                None if message.request is None else message.request.span,
            )
        )

    def forget(self, connection: GrpcConnection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._is_empty.set()

    # Its life

    async def start(self) -> None:
        """Listen. Raises BindFailed and ConfigurationError."""
        context = None
        if self._address.is_tls:
            context = self._make_context((_ALPN,))
        self._server = await self._listen(self._address, self._make_connection, context)
        events.listener_bound("gRPC", str(self._address))

    def _make_connection(self) -> asyncio.Protocol:
        self._sweep.start()
        return Refusal() if self._limit.is_full() else GrpcConnection(self)

    async def stop_listening(self) -> None:
        """Refuse new connections, and new calls on those that stand."""
        if self._server is not None:
            await self._server.take_backlog()
            await catch_up()
            self._server.close()
            self._server = None
            if self._address.scheme == "unix":
                with contextlib.suppress(OSError):
                    os.unlink(self._address.path)
        for connection in list(self.connections):
            connection.leave()

    async def drain(self, timeout_s: float) -> None:
        """Wait until the last answers are sent."""
        if self.connections:
            self._is_empty.clear()
            try:
                await asyncio.wait_for(self._is_empty.wait(), timeout_s)
            except asyncio.TimeoutError:
                return

    async def close(self) -> None:
        """End all connections."""
        self._sweep.stop()
        for connection in list(self.connections):
            connection.abort()
