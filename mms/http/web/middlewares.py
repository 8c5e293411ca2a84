"""What a request passes on its way to its route, from the outside in: errors, preflights, keys, pages, limits."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mms import faults
from mms.errors import (
    HeadersTooLarge,
    InternalServerError,
    ServerError,
    TargetTooLong,
    UnexpectedError,
)
from mms.http.console.page_sessions import PageSessions
from mms.http.pages import PageRule
from mms.http.routing import MANAGEMENT_ROLE, METRICS_ROLE
from mms.http.streams.reset import break_off
from mms.http.web.connection import Connections
from mms.http.web.request import check_head, find_state, state_of
from mms.http.web.response import error_response, respond
from mms.security import NOBODY, Access

logger = logging.getLogger("mms.http")


class _OutOfMemory(InternalServerError):
    status = 507

    def __init__(self) -> None:
        super().__init__("Out of resources")


def connection_user(connections: Connections) -> Middleware:
    """Tells the connection when a request is under way."""

    @web.middleware
    async def use_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
        state = find_state(request)
        if state is None:
            return await handler(request)
        connection = connections.of(request)
        if connection is None:
            # The client has gone.
            raise asyncio.CancelledError
        connection.begin(request)
        state.account = connection.account
        state.begin_answer = connection.begin_answer
        answer_bytes = 0
        try:
            response = await handler(request)
            answer_bytes = response.content_length or 0
            return response
        finally:
            connection.finish(answer_bytes)

    return use_connection


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Makes an answer of whatever is raised."""
    state = find_state(request)
    if state is None:
        # Of no target that a route can have; aiohttp's router has the answer.
        return await handler(request)
    try:
        if state.refusal is not None:
            raise state.refusal
        return await handler(request)
    except ServerError as error:
        return _error_answer(request, error)
    except MemoryError:
        return _error_answer(request, _OutOfMemory())
    except (ConnectionError, web.HTTPException):
        # The client is gone; or it is aiohttp's own answer.
        raise
    except Exception as error:
        faults.note("request", error, state.model, state.version, request_ids=(state.id,))
        return _error_answer(request, UnexpectedError(state.id))


def _error_answer(request: web.Request, error: ServerError) -> web.StreamResponse:
    """Raises CancelledError where an answer has begun: clients would take another one for a part of its body."""
    if state_of(request).is_answering:
        break_off(request)
        raise asyncio.CancelledError
    return error_response(request, error)


@web.middleware
async def answer_preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser asks whether a page may send a request: it cannot show the page's key, and learns the CORS headers."""
    state = state_of(request)
    is_preflight = (
        request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    )
    if not is_preflight or state.route.answers_preflights:
        return await handler(request)
    allowed = state.match.allowed
    return respond(200, None, f"Allow: {allowed}\r\n".encode() if allowed else b"", b"")


def key_check(access: Access, sessions: PageSessions | None) -> Middleware:
    """Lets a request pass that has a key with one of its route's roles, and counts it for its client.

    `sessions`: what stands for keys in the console.
    """

    @web.middleware
    async def check_key(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises Unauthorized, Forbidden and TooManyRequests."""
        state = state_of(request)
        roles = state.route.roles
        what = f"{request.method} {state.uri.partition('?')[0]}"
        session = NOBODY
        if sessions is not None and state.route.takes_session:
            session = sessions.find(request)
        known = access.enter(request.raw_headers, roles, state.remote, what, session)
        if known.key is not None and roles == MANAGEMENT_ROLE and request.method != "GET":
            logger.info("Key %s of %s: %s", known.key, state.remote, what)
        state.credentials = known.credentials
        state.is_trusted = access.guard is None or known.key is not None
        return await handler(request)

    return check_key


def page_check(rule: PageRule) -> Middleware:
    """Keeps the page of another site from managing models, and from reading what they are called."""

    @web.middleware
    async def check_page(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises Forbidden."""
        route = state_of(request).route
        roles = route.roles
        host = request.headers.get("Host")
        if roles == MANAGEMENT_ROLE or route.takes_session or route.changes_server:
            rule.check(request.method, request.headers.get("Origin"), host)
        if roles in (MANAGEMENT_ROLE, METRICS_ROLE) or route.takes_session:
            rule.check_host(request.method, host)
        return await handler(request)

    return check_page


def size_check(max_body_bytes: int) -> Middleware:
    """Refuses what `check_head` refuses, before anything of a body is read."""

    @web.middleware
    async def check_sizes(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_head(request, max_body_bytes)
        except (TargetTooLong, HeadersTooLarge) as error:
            logger.warning("Refused a request of %s: %s", state_of(request).remote, error)
            raise
        return await handler(request)

    return check_sizes
