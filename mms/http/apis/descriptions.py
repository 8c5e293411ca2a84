"""The descriptions of a listener's API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from mms.http.answers import JSON_LINE, render_json
from mms.http.routing import ANY_METHOD, INFERENCE_ROLE, Route, not_found
from mms.http.routing.document import document_of, in_mms_form
from mms.http.routing.operation import OBJECT, TEXT, Operation, answer, errors, object_of
from mms.http.web.response import respond
from mms.interfaces import INTERFACES, part

_INFO: Final = {
    "title": "Model Server APIs",
    "description": "Serves model archives over HTTP",
    "version": "1.0.0",
}
_DOCUMENT: Final = object_of(["openapi", "info", "paths"], openapi=TEXT, info=OBJECT, paths=OBJECT)


def describe_routes(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of the routes of a listener."""
    schemas = [part(interface.schemas) for interface in INTERFACES if interface.schemas]
    merged = {name: schema for found in schemas for name, schema in found.items()}
    return document_of(routes, _INFO, components=merged)


class DescriptionApi:
    """Answers with the documents of one listener. Each is written once, because that takes milliseconds."""

    def __init__(self, routes_of_listener: Callable[[], Iterable[Route]]) -> None:
        """`routes_of_listener`: all of it, once they are there."""
        self._routes_of_listener = routes_of_listener

    def routes(self) -> list[Route]:
        mms_form = "Describes this API, in MMS's form."
        return [
            # The first is what `OPTIONS *` asks for.
            Route(ANY_METHOD, "/*", self._describe_in_mms_form),
            Route(
                ("OPTIONS",),
                "/",
                self._describe_in_mms_form,
                operations=(_operation("options", "apiDescription", mms_form),),
            ),
            Route(
                ANY_METHOD,
                "/api-description",
                self._describe_in_mms_form,
                operations=(
                    _operation("get", "apiDescriptionOfAnyMethod", mms_form, is_deprecated=True),
                ),
            ),
            Route((), "/api-description/{tail:.*}", self._describe_in_mms_form),
            Route(
                ("GET", "HEAD"),
                "/openapi.json",
                self._describe,
                operations=(_operation("get", "openapi", "Describes this API, in OpenAPI."),),
            ),
        ]

    @cached_property
    def _document(self) -> dict[str, Any]:
        return describe_routes(self._routes_of_listener())

    @cached_property
    def _bytes(self) -> bytes:
        return json.dumps(self._document, indent=2).encode() + b"\n"

    @cached_property
    def _bytes_in_mms_form(self) -> bytes:
        return render_json(in_mms_form(self._document))

    async def _describe_in_mms_form(self, request: web.Request) -> web.StreamResponse:
        return respond(200, None, JSON_LINE, self._bytes_in_mms_form)

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        return respond(200, None, JSON_LINE, self._bytes)


def _operation(method: str, id_: str, text: str, *, is_deprecated: bool = False) -> Operation:
    return Operation(
        method,
        id_,
        text,
        {"200": answer("The document.", _DOCUMENT), **errors("500")},
        is_deprecated=is_deprecated,
    )


def reserve(routes: Iterable[Route], *more: str) -> list[Route]:
    """Rows that keep what begins as one of the server's own routes from the models' routers: it is not found.

    Predictions are no such routes, because any model may have their names. `more`: further first segments.
    """
    words = set(more)
    known = set()
    for route in routes:
        known.add(route.pattern)
        segments = route.parsed.segments
        if segments and segments[0][0] is None and route.roles != INFERENCE_ROLE:
            words.add(segments[0][1])
    patterns = {f"/{quote(word, safe='')}/{{tail:.*}}" for word in words}
    return [Route(ANY_METHOD, pattern, not_found) for pattern in sorted(patterns - known)]
