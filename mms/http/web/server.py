"""The aiohttp side of a listener: an application whose router asks the table of routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Middleware

from mms.errors import MethodNotAllowed
from mms.http.answers import Answers
from mms.http.request_head import MAX_HEADERS_BYTES
from mms.http.routing import Found, RouteChanged, RouteTable
from mms.http.web.connection import Connection, Connections
from mms.http.web.middlewares import answer_errors, connection_user
from mms.http.web.request import READ_AHEAD_BYTES, RequestState, find_state, state_of
from mms.http.web.response import head_writer
from mms.limits.connections import remote_name
from mms.limits.memory import MemoryLimit
from mms.observe.recent_errors import NoteError
from mms.observe.recorder import request_line
from mms.text.brief import brief

logger = logging.getLogger("mms.http")

Record: TypeAlias = Callable[[tuple[Any, ...]], None]
MakeState: TypeAlias = Callable[[web.Request], RequestState]

#: For the body of a request that was refused before it came, in seconds; less where any body has less.
_LINGER_S = 5.0
#: More than a connection takes of a head.
_NO_LIMIT_BYTES: Final = 2**30


class TableResource(web.PlainResource):
    """Every path: aiohttp's router asks it, and it asks the table of routes."""

    def __init__(self, table: RouteTable, make_state: MakeState) -> None:
        super().__init__("/")
        self._table = table
        self._make_state = make_state
        self._route = self.add_route("*", self._serve, expect_handler=_expect)

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        state = self._make_state(request)
        try:
            self._find_route(request)
        except Exception as error:
            # The middlewares make an answer of it.
            state.refusal = error
        return web.UrlMappingMatchInfo(dict(state.match.values), self._route), set()

    def _find_route(self, request: web.Request) -> None:
        """Raises BadRequest for a path that is none."""
        state = state_of(request)
        state.route, state.match = self._table.match(state.path, request.method)
        if state.route.leads_on is not None:
            found = Found(state.route, state.match)
            state.route, state.match = state.route.leads_on(request, found)
        if state.route.answer_form is not None:
            state.route.answer_form(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Raises MethodNotAllowed, and what the route's handler raises."""
        try:
            return await _handle(request)
        except RouteChanged:
            self._find_route(request)
        return await _handle(request)


async def _expect(request: web.Request) -> None:
    """The client is told to go on when its body is read: it may be refused before."""


async def _handle(request: web.Request) -> web.StreamResponse:
    """Raises MethodNotAllowed, and what the route's handler raises."""
    state = state_of(request)
    if not state.match.is_served:
        raise MethodNotAllowed(allowed=state.match.allowed)
    return await state.route.handler(request)


def _access_log(record: Record, note_error: NoteError) -> type[AbstractAccessLogger]:
    """Has aiohttp record each request that it answers."""

    class AccessLog(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            record(_line_of(request, response, time))
            state = find_state(request)
            if response.status < 400 or state is None:
                return
            # What the console's own page is refused is nothing to show there, but for models that it tries.
            if state.model or not state.route.takes_session:
                note_error(state.id, state.model, state.version, response.status, state.problem)

    return AccessLog


def _line_of(
    request: web.BaseRequest, response: web.StreamResponse, took_s: float
) -> tuple[Any, ...]:
    state = find_state(request)
    remote = "0.0.0.0"
    if state is not None:
        remote = state.remote
    elif request.transport is not None:
        remote = remote_name(request.transport)
    version = request.version
    # aiohttp has none for what it refused before it had read one.
    uri = (request.raw_path if isinstance(request, web.Request) else request.path) or "-"
    return (
        time.monotonic(),
        request_line(remote, request.method, uri, f"HTTP/{version.major}.{version.minor}"),
        response.status,
        took_s,
        state.model if state is not None else "",
        state.version if state is not None else "",
        state.trace if state is not None else None,
    )


#: What aiohttp logs of what a client sends.
_CLIENTS_FAULTS: Final = (HttpProcessingError, web.RequestPayloadError)


class _OneLine(logging.Filter):
    """What aiohttp says of a client that sends no HTTP is told in a line: it is no fault of the server's."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], _CLIENTS_FAULTS):
            record.msg = f"{record.getMessage()}: {brief(record.exc_info[1])}"
            record.args = record.exc_info = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def _aiohttp_logger() -> logging.Logger:
    own = logging.getLogger("mms.http.aiohttp")
    if not own.filters:
        own.addFilter(_OneLine())
    return own


class WebServer:
    """Makes the protocols of the connections that aiohttp serves, and ends them. Times in seconds."""

    def __init__(
        self,
        table: RouteTable,
        make_state: MakeState,
        answers: Answers,
        record: Record,
        note_error: NoteError,
        middlewares: Iterable[Middleware],
        *,
        keep_alive_timeout_s: float,
        head_timeout_s: float,
        body_timeout_s: float,
        memory: MemoryLimit,
    ) -> None:
        """`middlewares`: those that stand before the routes, from the outside in."""
        self.connections = Connections(
            memory,
            answers,
            head_timeout_s=head_timeout_s,
            reader_timeout_s=keep_alive_timeout_s,
        )
        application = web.Application(
            middlewares=[answer_errors, connection_user(self.connections), *middlewares],
            logger=_aiohttp_logger(),
        )
        application.router.register_resource(TableResource(table, make_state))
        application.on_response_prepare.append(self._note_answering)
        application.on_response_prepare.append(
            head_writer(answers, lambda: self.connections.is_leaving)
        )
        self._runner = web.AppRunner(
            application,
            access_log=logger,
            access_log_class=_access_log(record, note_error),
            auto_decompress=False,
            handler_cancellation=True,
            keepalive_timeout=keep_alive_timeout_s,
            lingering_time=min(_LINGER_S, body_timeout_s),
            logger=_aiohttp_logger(),
            # aiohttp's own refusals name no limit of this server: `check_head` judges a head that is whole, and the
            # connection ends one that grows.
            max_line_size=_NO_LIMIT_BYTES,
            max_field_size=_NO_LIMIT_BYTES,
            max_headers=MAX_HEADERS_BYTES,
            # What is read of a body ahead of its route, which counts it.
            read_bufsize=READ_AHEAD_BYTES,
            shutdown_timeout=0.0,
        )

    def __repr__(self) -> str:
        return f"<WebServer {len(self.connections)} connections>"

    @property
    def _server(self) -> web.Server:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the server has not been set up")
        return server

    async def _note_answering(self, request: web.Request, response: web.StreamResponse) -> None:
        state = find_state(request)
        if state is not None:
            state.is_answering = True
        connection = self.connections.of(request)
        if connection is not None:
            connection.is_answering = True

    async def start(self) -> None:
        """To be called before the first connection."""
        await self._runner.setup()

    def make_protocol(self) -> asyncio.Protocol:
        """Return the protocol of a connection."""
        return Connection(self._server(), self.connections)

    async def drain(self, timeout_s: float) -> None:
        """Close idle connections, wait for busy ones."""
        self._server.pre_shutdown()
        if self._server.connections:
            await self._server.shutdown(timeout_s)

    async def close(self) -> None:
        self.connections.close()
        await self._runner.cleanup()
