"""The routes of the console: its files, its session, what it shows live, and the management API for its page."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web
from multidict import CIMultiDict

from mms.bodies.json_text import to_json
from mms.errors import BadRequest
from mms.http.answers import JSON_LINE
from mms.http.apis.model_asker import ModelAsker
from mms.http.console.page_sessions import PATH, PageSessions, cookie_line
from mms.http.lane.head import LaneRoute
from mms.http.routing import ANY_ROLE, INFERENCE_ROLE, MANAGEMENT_ROLE, OPEN, Found, Match, Route
from mms.http.routing.operation import OBJECT, Operation, answer, errors
from mms.http.web.live_stream import LiveStreams
from mms.http.web.request import read_body, state_of
from mms.http.web.response import json_response, respond
from mms.security import Guard, Role, Sessions

if TYPE_CHECKING:
    from mms.http.console.live_feed import LiveFeed
    from mms.observe import FrontCount, Recorder
    from mms.serving import ModelHost

logger = logging.getLogger("mms.http")

#: Below it the routes of the management API are there once more, for the page.
_API: Final = f"{PATH}/api"
_TAG: Final = "console"
_MAX_KEY_BYTES: Final = 4096
_BODY_TIMEOUT_S: Final = 10.0
#: Nothing that a model answers is shown as a page, if somebody opens it by its address.
_SANDBOX: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"


class ConsoleApi:
    """What the console's page needs. Costs nothing until somebody opens it."""

    def __init__(
        self,
        host: ModelHost,
        recorder: Recorder,
        asker: ModelAsker,
        streams: LiveStreams,
        guard: Guard | None,
        front_counts: Callable[[], Sequence[FrontCount]],
    ) -> None:
        """`guard` None: there are no keys, and everybody may do everything. `front_counts`: as `HttpFront` has it."""
        self._host = host
        self._recorder = recorder
        self._asker = asker
        self._streams = streams
        self._guard = guard
        self._front_counts = front_counts
        self.sessions = PageSessions(Sessions(guard.ring)) if guard is not None else None
        self._feed: LiveFeed | None = None

    def __repr__(self) -> str:
        return f"<ConsoleApi {self._feed!r}>"

    # Routes

    def routes(self, management: Iterable[Route]) -> list[Route]:
        """Return the rows. `management`: those of the management API."""
        page = Operation(
            "get", "console", "A page that shows and manages the models.", _PAGE, tag=_TAG
        )
        live = Operation(
            "get",
            "consoleEvents",
            "The state of all models, once a second, as server-sent events.",
            {"200": answer("Snapshots.", OBJECT, "text/event-stream"), **errors("503")},
            tag=_TAG,
        )
        once = Operation(
            "get",
            "consoleSnapshot",
            "The state of all models.",
            {"200": answer("The snapshot.", OBJECT)},
            tag=_TAG,
        )
        rows = [
            Route(("GET",), f"{PATH}/session", self._session, OPEN),
            Route(("POST",), f"{PATH}/login", self._login, OPEN),
            Route(("POST",), f"{PATH}/logout", self._logout, OPEN),
            Route(("GET",), f"{PATH}/events", self._events, MANAGEMENT_ROLE, operations=(live,)),
            Route(
                ("GET",), f"{PATH}/snapshot", self._snapshot, MANAGEMENT_ROLE, operations=(once,)
            ),
            Route(("GET",), f"{PATH}/store", self._store, MANAGEMENT_ROLE),
            Route(("POST",), f"{_API}/predictions/{{model_name}}", self._predict, INFERENCE_ROLE),
            Route(
                ("POST",),
                f"{_API}/predictions/{{model_name}}/{{model_version}}",
                self._predict,
                INFERENCE_ROLE,
            ),
            *(replace(route, pattern=_API + route.pattern, operations=()) for route in management),
            Route(("GET", "HEAD"), PATH, self._file, OPEN, operations=(page,)),
            Route(("GET", "HEAD"), f"{PATH}/{{tail:.*}}", self._file, OPEN),
        ]
        return [replace(row, takes_session=True) for row in rows]

    def lead_browsers(self, rows: Iterable[Route]) -> list[Route]:
        """Return rows of which the one of the root leads a browser to the console; other clients have what it says."""
        return [
            replace(row, leads_on=self._lead_browser) if row.pattern == "/" else row for row in rows
        ]

    def _lead_browser(self, request: web.Request, found: Found) -> Found:
        is_page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get(
            "Accept", ""
        )
        if not is_page:
            return found
        row = Route(("GET", "HEAD"), "/", _redirect, OPEN)
        return Found(row, Match(found.match.path, methods=row.methods))

    # Files

    async def _file(self, request: web.Request) -> web.StreamResponse:
        files = await asyncio.to_thread(importlib.import_module, "mms.http.console.page_files")
        return await files.answer_file("console", request.match_info.get("tail", ""))  # type: ignore[no-any-return]

    # Sessions

    async def _session(self, request: web.Request) -> web.StreamResponse:
        """Who looks, and what they may do."""
        if self._guard is None or self.sessions is None:
            return json_response({"hasKeys": False, "roles": [role.value for role in Role]})
        auth = self._guard.find(request.raw_headers)
        session = self.sessions.session_of(request)
        key = auth.key or (session.key if session is not None else None)
        return json_response(
            {
                "hasKeys": True,
                "key": key.name if key is not None else None,
                "roles": [
                    role.value
                    for role in Role
                    if self._guard.is_open((role,)) or (key is not None and role in key.roles)
                ],
                "token": session.token if session is not None else None,
            }
        )

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """Take a key, and answer with a cookie. Raises Unauthorized, TooManyRequests and BadRequest."""
        # A form of another page cannot send this type.
        if request.content_type != "application/json":
            raise BadRequest('The login takes application/json: {"key": "..."}.')
        body = await read_body(request, _MAX_KEY_BYTES, _BODY_TIMEOUT_S)
        try:
            key_text = orjson.loads(body)["key"]
        except (ValueError, KeyError, TypeError):
            key_text = None
        if not isinstance(key_text, str):
            raise BadRequest('The login takes {"key": "..."}.')
        if self._guard is None or self.sessions is None:
            raise BadRequest("This server has no keys, and needs no login.")
        shown = [(b"x-api-key", key_text.strip().encode("utf-8", "replace"))]
        state = state_of(request)
        auth = self._guard.find(shown)
        if auth.key is None:
            self._guard.refuse(auth, ANY_ROLE, state.remote, f"POST {PATH}/login")
        cookie, session = self.sessions.sessions.open(auth.key)
        logger.info("Key %s of %s: login to the console", auth.key, state.remote)
        body = to_json({"token": session.token})
        return respond(200, None, JSON_LINE + cookie_line(request, cookie), body)

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        if self.sessions is not None:
            self.sessions.close_of(request)
        return respond(200, None, JSON_LINE + cookie_line(request, ""), b"{}")

    # What is shown

    async def _make_snapshot(self) -> bytes:
        from mms.http.console.live_snapshot import make_snapshot

        return to_json(await make_snapshot(self._host, self._recorder, self._front_counts()))

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        return respond(200, None, JSON_LINE, await self._make_snapshot())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Snapshots until the page goes, or takes none. Raises ServiceUnavailable."""
        if self._feed is None:
            from mms.http.console.live_feed import LiveFeed

            self._feed = LiveFeed(self._make_snapshot)
        feed, seen = self._feed, 0
        async with self._streams.open(request) as (stream, response):
            with feed.watched(stream.wake):
                while True:
                    if feed.newest is not None and feed.number != seen:
                        seen = feed.number
                        await stream.send(b"data: " + feed.newest + b"\n\n")
                    elif not await stream.wait():
                        break
        return response

    async def _store(self, request: web.Request) -> web.StreamResponse:
        """The archives of the model store."""
        archives = await self._host.stored.archives()
        return json_response(
            {
                "archives": [
                    {
                        "url": archive.url,
                        "modelName": archive.name,
                        "modelVersion": archive.version,
                        "problem": archive.problem or None,
                    }
                    for archive in archives[:_MOST_ARCHIVES]
                ],
                "total": len(archives),
            }
        )

    # What is tried

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        """A prediction whose answer is data alone: no header of the model's reaches the browser but its type."""
        state_of(request).filter_headers = _keep_type
        values = request.match_info
        route = LaneRoute(values["model_name"], values.get("model_version"))
        return await self._asker.ask(request, route)


#: Archives of the store that a page is offered.
_MOST_ARCHIVES: Final = 1000
_PAGE: Final = {"200": answer("The page.", {"type": "string"}, "text/html")}
_OF_ANSWERS: Final = ("content-type", "content-length", "transfer-encoding", "retry-after")


def _keep_type(headers: CIMultiDict[str]) -> None:
    for name in {name for name in headers if name.lower() not in _OF_ANSWERS}:
        headers.popall(name)
    headers["Content-Security-Policy"] = _SANDBOX
    headers["X-Content-Type-Options"] = "nosniff"


async def _redirect(request: web.Request) -> web.StreamResponse:
    return respond(303, None, f"Location: {PATH}\r\n".encode(), b"")
