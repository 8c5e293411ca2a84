"""Requests of the aiohttp side on their way to models."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from mms.core import Request
from mms.core.request import Buffer
from mms.core.request_options import (
    DEFAULT_OPTIONS,
    RequestOptions,
    add_options,
    read_request_options,
)
from mms.errors import MethodNotAllowed, ServerError
from mms.http.lane.head import LaneRoute
from mms.http.routing.paths import check_query
from mms.http.streams.form import StreamForm
from mms.http.streams.web import WebStream
from mms.http.web.request import content_type_of, header_block, read_body, state_of
from mms.http.web.response import error_response, respond

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream
    from mms.serving import ModelHost


class WaitedReply(Protocol):
    """A reply whose route waits for it: a `Reply`, whose class is compiled and has no subclasses here."""

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None: ...

    def fail(self, request: Request, error: ServerError) -> None: ...

    def give_up(self) -> None: ...

    @property
    def done(self) -> asyncio.Future[web.StreamResponse | WebStream]: ...


class FutureReply:
    """The reply of a request whose route waits for it."""

    def __init__(self, asked_by: web.Request, form: StreamForm | None = None) -> None:
        """`form`: of an answer in parts; None for the one that the client asks for."""
        self._asked_by = asked_by
        self._form = form
        self.done: asyncio.Future[web.StreamResponse | WebStream] = (
            asyncio.get_running_loop().create_future()
        )

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        if not self.done.done():
            self.done.set_result(respond(status, phrase, headers, body))

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> WebStream:
        parts = WebStream(self._asked_by, (status, phrase, headers), stream, self._form)
        if not self.done.done():
            self.done.set_result(parts)
        return parts

    def fail(self, request: Request, error: ServerError) -> None:
        if not self.done.done():
            self.done.set_result(error_response(self._asked_by, error))

    def give_up(self) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the failure of the request could not be told"))


class ModelAsker:
    """Has models answer requests, as the lane does for the same routes."""

    def __init__(self, host: ModelHost, *, max_body_bytes: int, body_timeout_s: float) -> None:
        self._host = host
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def read_body(self, request: web.Request) -> bytes | bytearray:
        """Raises as `mms.http.web.request.read_body`."""
        return await read_body(request, self._max_body_bytes, self._body_timeout_s)

    async def ask(
        self,
        request: web.Request,
        route: LaneRoute,
        body: bytes | bytearray | None = None,
        *,
        content_type: bytes | None = None,
        reply: WaitedReply | None = None,
    ) -> web.StreamResponse:
        """Return the model's response. Raises the errors of the front.

        `body`: where it was read already. `content_type`: what the handler is told; None: what the client says.
        `reply`: makes the response of the answer; None: it is the answer.
        """
        state = state_of(request)
        self._host.check_model(route.model, route.version)
        state.model = route.model
        state.version = route.version or ""
        if request.method == "CONNECT":
            raise MethodNotAllowed
        options = read_request_options(request.raw_headers)
        if route.passes_query:
            check_query(state.query)
        if body is None:
            check = partial(self._host.check_room, route.model, route.version)
            body = await read_body(request, self._max_body_bytes, self._body_timeout_s, check)
        more = DEFAULT_OPTIONS
        if route.body_options is not None:
            found = route.body_options(header_block(request), body)
            more = found if isinstance(found, RequestOptions) else await found
        received_at = state.received_at
        if reply is None:
            reply = FutureReply(request)
        asked = Request(
            id=state.id,
            name=route.model,
            version=route.version,
            passes_query=route.passes_query,
            content_type=content_type_of(request) if content_type is None else content_type,
            query=state.query,
            headers=header_block(request),
            body=body,
            reply=reply,
            received_at=received_at,
            deadline=received_at + options.timeout_s if options.timeout_s else 0.0,
            priority=options.priority,
            operation=route.operation,
        )
        add_options(asked, more)
        try:
            self._host.submit(asked)
        finally:
            state.trace = asked.span
        try:
            answer = await reply.done
            return await answer.send() if isinstance(answer, WebStream) else answer
        except BaseException:
            # The client is gone.
            self._host.cancel(asked)
            raise
