"""Endpoint plugins: routes of one path segment that others bring along, the successors of MMS's Java plugins.

A plugin is an object with an `url_pattern` (one path segment), an `endpoint_type` (`INFERENCE` or `MANAGEMENT`) and
some of `do_get`, `do_put`, `do_post`, `do_delete`, each called with (request, response, context) in a thread.
"""

from __future__ import annotations

import asyncio
import io
import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

from mms.errors import (
    ConfigurationError,
    InternalServerError,
    RequestTimeout,
    ServerError,
    WorkerFailure,
)
from mms.http.answers import header_lines, safe_phrase
from mms.http.parameters import ParameterRule, Parameters
from mms.http.routing import ANY_METHOD, INFERENCE_ROLE, MANAGEMENT_ROLE, OPEN, Route, parse_query
from mms.http.web.request import content_type_of, read_body, state_of
from mms.http.web.response import respond
from mms.text.brief import brief
from mms.wire.answer_head import MAX_STATUS, MIN_STATUS, is_status

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

logger = logging.getLogger("mms.http")

INFERENCE = "INFERENCE"
MANAGEMENT = "MANAGEMENT"
#: Calls of one plugin that run at once; further ones wait for them. One that hangs holds up itself alone.
_MAX_RUNNING = 8
_METHODS = {"GET": "do_get", "PUT": "do_put", "POST": "do_post", "DELETE": "do_delete"}


class ReadParameters(dict[str, list[str]]):
    """Name to values. Knows which of them a plugin has looked at, by name or all at once."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[str] = set()
        self._are_all_read = False

    def __getitem__(self, name: str) -> list[str]:
        self._asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._asked.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._asked.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self._are_all_read = True
        return super().__iter__()

    def keys(self) -> Any:
        self._are_all_read = True
        return super().keys()

    def values(self) -> Any:
        self._are_all_read = True
        return super().values()

    def items(self) -> Any:
        self._are_all_read = True
        return super().items()

    def unread(self) -> list[str]:
        """Sentences on what was given and not looked at."""
        if self._are_all_read:
            return []
        given = Parameters(dict(dict.items(self)))
        given.know(sorted(self._asked))
        return given.without_effect()


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """What a plugin learns of a request. `uri` is the path with its query, as the client sent it."""

    uri: str
    header_names: list[str]
    headers: dict[str, str]
    parameters: ReadParameters
    content_type: str | None
    body: io.BytesIO


@dataclass(slots=True)
class EndpointResponse:
    """What a plugin answers. Status 200 unless it sets another."""

    status: int = 200
    phrase: str | None = None
    content_type: str | None = None
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: io.BytesIO = field(default_factory=io.BytesIO)

    def set_status(self, status: int, phrase: str | None = None) -> None:
        self.status = status
        self.phrase = phrase

    def add_header(self, name: str, value: str) -> None:
        self.headers.add(name, value)

    def set_header(self, name: str, value: str) -> None:
        self.headers[name] = value


@dataclass(frozen=True, slots=True)
class EndpointWorker:
    is_running: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class EndpointModel:
    name: str
    url: str
    handler: str
    workers: list[EndpointWorker]


@dataclass(frozen=True, slots=True)
class EndpointContext:
    """What a plugin learns of the server: the settings as text, unknown ones included, and the models by name."""

    config: dict[str, str]
    models: dict[str, EndpointModel]


class Plugins:
    """The plugins by listener and path segment, and the threads that they run in."""

    def __init__(
        self,
        endpoints: Iterable[Any],
        settings: Settings,
        host: ModelHost,
        rule: ParameterRule,
        *,
        worker_count: int,
    ) -> None:
        """Raises ConfigurationError for what is no plugin, and where two have one pattern."""
        self._endpoints: dict[tuple[str, str], Any] = {}
        for endpoint in endpoints:
            key = _key(endpoint)
            if key in self._endpoints:
                raise ConfigurationError(f'Multiple plugins found for endpoint "{key[1]}"')
            self._endpoints[key] = endpoint
        self._settings = settings
        self._host = host
        self._rule = rule
        self._config = {"NUM_WORKERS": str(worker_count), **settings.raw}
        #: By the identity of the plugin.
        self._slots: dict[int, asyncio.Semaphore] = {}

    def __repr__(self) -> str:
        return f"<Plugins {sorted(pattern for _, pattern in self._endpoints)}>"

    def add_missing(self, endpoint: Any) -> None:
        """Add a plugin of the server's own, unless somebody has brought one for its pattern."""
        self._endpoints.setdefault(_key(endpoint), endpoint)

    def routes(self, endpoint_type: str) -> list[Route]:
        """Of INFERENCE or MANAGEMENT: a plugin has its first segment and all below, and every method but OPTIONS."""
        routes = []
        roles = INFERENCE_ROLE if endpoint_type == INFERENCE else MANAGEMENT_ROLE
        for (kind, pattern), endpoint in self._endpoints.items():
            if kind != endpoint_type:
                continue
            path = f"/{quote(pattern, safe='')}"
            # A probe of the server's stays one.
            is_ping = (kind, pattern) == (INFERENCE, "ping")
            for whole, needed in ((path, OPEN if is_ping else roles), (path + "/{tail:.*}", roles)):
                routes.append(
                    Route(
                        ANY_METHOD,
                        whole,
                        partial(self.serve, endpoint),
                        needed,
                        applies=lambda method: method != "OPTIONS",
                    )
                )
        return routes

    async def serve(self, endpoint: Any, request: web.Request) -> web.StreamResponse:
        """Run a plugin in a thread. What it raises becomes an error response."""
        name = _METHODS.get(request.method)
        if name is None:
            raise InternalServerError("Unknown exception")
        function = getattr(endpoint, name, None)
        if function is None:
            raise WorkerFailure(
                "No implementation found .. Default implementation invoked",
                500,
                "ModelServerEndpointException",
            )
        declared = getattr(endpoint, "parameters", None)
        if declared is not None:
            parameters = state_of(request).parameters()
            parameters.know([str(parameter) for parameter in declared])
            self._rule.check(state_of(request), parameters)
        asked = await _request_of(
            request, self._settings.max_request_size, self._settings.body_timeout_s
        )
        response = EndpointResponse()
        context = self._context()
        limit_s = self._settings.response_timeout_s
        try:
            error = await asyncio.wait_for(
                self._run(endpoint, lambda: function(asked, response, context)),
                None if limit_s == math.inf else limit_s,
            )
        except asyncio.TimeoutError:
            raise RequestTimeout(
                f'Plugin "{endpoint.url_pattern}" did not answer in time.'
            ) from None
        if error is None:
            if declared is None:
                self._rule.check_late(state_of(request), asked.parameters.unread())
            try:
                return _finished(response)
            except (ValueError, TypeError, AttributeError) as invalid:
                error = invalid
        raise _told_error(endpoint, error)

    async def _run(self, endpoint: Any, call: Callable[[], Any]) -> BaseException | None:
        """Returns what the call raised.

        It runs in a thread that nothing waits for at the end: a plugin that hangs must not keep the server from
        stopping.
        """
        slots = self._slots.setdefault(id(endpoint), asyncio.Semaphore(_MAX_RUNNING))
        await slots.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[BaseException | None] = loop.create_future()

        def finish(error: BaseException | None) -> None:
            slots.release()
            if not done.done():
                done.set_result(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                call()
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(finish, error)
            except RuntimeError:
                # The server has ended meanwhile.
                return

        try:
            threading.Thread(target=work, name="plugin", daemon=True).start()
        except RuntimeError as error:
            # The system gives no more threads.
            finish(error)
        return await done

    def _context(self) -> EndpointContext:
        models = {
            name: EndpointModel(name, url, handler, [EndpointWorker(*worker) for worker in workers])
            for name, url, handler, workers in self._host.model_infos()
        }
        return EndpointContext(dict(self._config), models)


def _told_error(endpoint: Any, error: BaseException) -> ServerError:
    """Return what a client is told of an error of a plugin, in MMS's words."""
    logger.error("Plugin %s failed.", endpoint.url_pattern, exc_info=error)
    if isinstance(error, MemoryError):
        return WorkerFailure("Out of memory", 507)
    if isinstance(error, OSError):
        return InternalServerError("I/O error while running the custom endpoint")
    return WorkerFailure("Unknown exception", 500, type(error).__name__)


def _key(endpoint: Any) -> tuple[str, str]:
    """(type, pattern) of a plugin. Raises ConfigurationError for what is none."""
    pattern = getattr(endpoint, "url_pattern", None)
    kind = str(getattr(endpoint, "endpoint_type", None)).upper()
    if not isinstance(pattern, str) or not pattern or "/" in pattern:
        raise ConfigurationError(
            f"Plugin {brief(endpoint)} has the url_pattern {brief(pattern)}; it should be one path segment, like 'ping'"
        )
    if kind not in (INFERENCE, MANAGEMENT):
        raise ConfigurationError(
            f"Plugin {brief(endpoint)} has no endpoint_type; it should be {INFERENCE} or {MANAGEMENT}"
        )
    return kind, pattern


async def _request_of(
    request: web.Request, max_body_bytes: int, body_timeout_s: float
) -> EndpointRequest:
    parameters = ReadParameters()
    for name, value in parse_query(state_of(request).query):
        parameters.setdefault(name, []).append(value)
    headers = dict(request.headers.items())
    return EndpointRequest(
        uri=state_of(request).uri,
        header_names=list(headers),
        headers=headers,
        parameters=parameters,
        content_type=content_type_of(request).decode("latin-1") or None,
        body=io.BytesIO(await read_body(request, max_body_bytes, body_timeout_s)),
    )


def _finished(response: EndpointResponse) -> web.StreamResponse:
    """Raises ValueError for a response that HTTP cannot carry."""
    if not isinstance(response.status, int) or not is_status(response.status):
        raise ValueError(
            f"response status {brief(response.status)} is not a number from {MIN_STATUS} to {MAX_STATUS}"
        )
    headers = list(response.headers.items())
    if response.content_type is not None and "content-type" not in response.headers:
        headers.append(("content-type", response.content_type))
    return respond(
        response.status,
        None if response.phrase is None else safe_phrase(response.phrase),
        header_lines(headers),
        response.body.getvalue(),
    )
