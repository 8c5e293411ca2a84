"""The management API: register, scale, describe, list, unregister models."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mms.bodies.charset import charset_of
from mms.errors import BadRequest, ResourceNotFound
from mms.http.apis.management_operations import (
    DESCRIBE,
    DESCRIBE_ALL,
    DESIRED,
    DRIFT,
    LIST,
    REGISTER,
    SCALE,
    SCALING,
    SET_DEFAULT,
    UNREGISTER,
    of_version,
)
from mms.http.apis.registration_parameters import (
    check_url_is_whole,
    integer_parameter,
    lenient_integer,
    members_of_body,
    registration_of,
    scaling_of,
)
from mms.http.parameters import ParameterRule, Parameters
from mms.http.routing import ANY_METHOD, MANAGEMENT_ROLE, Route, not_found
from mms.http.routing.operation import Operation
from mms.http.routing.route import Handler
from mms.http.web.request import content_type_of, read_body, state_of
from mms.http.web.response import json_response
from mms.serving import Outcome

if TYPE_CHECKING:
    from mms.serving import ModelHost

logger = logging.getLogger("mms.http")

_MAX_LIMIT = 100
#: What the event loop reads itself of lax JSON, which takes ten times as long as JSON.
_LOOP_BYTES = 4096


class ManagementApi:
    """The routes of the management listener below `/models`."""

    def __init__(
        self,
        host: ModelHost,
        rule: ParameterRule,
        *,
        max_body_bytes: int,
        body_timeout_s: float,
    ) -> None:
        self._host = host
        self._rule = rule
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    def __repr__(self) -> str:
        return f"<ManagementApi of {self._host!r}>"

    def routes(self) -> list[Route]:
        return [
            *self._rows("/models", GET=(self._list, LIST), POST=(self._register, REGISTER)),
            *self._rows("/models-file", GET=(self._desired, DESIRED)),
            # Its own route on the inference listener; a version may not hide that here it is none.
            Route(ANY_METHOD, "/models/{model_name}/invoke", not_found, MANAGEMENT_ROLE),
            *self._rows("/models/{model_name}/drift", GET=(self._drift, DRIFT)),
            *self._rows("/models/{model_name}/scaling", GET=(self._scaling, SCALING)),
            *self._rows(
                "/models/{model_name}",
                GET=(self._describe, DESCRIBE),
                PUT=(self._scale, SCALE),
                DELETE=(self._unregister, UNREGISTER),
            ),
            Route(
                ("GET",),
                "/models/{model_name}/all",
                self._describe_all,
                MANAGEMENT_ROLE,
                # A version of that name can be scaled and unregistered.
                applies=lambda method: method == "GET",
                operations=(DESCRIBE_ALL,),
            ),
            *self._rows(
                "/models/{model_name}/{model_version}",
                GET=(self._describe, of_version(DESCRIBE)),
                PUT=(self._scale, of_version(SCALE)),
                DELETE=(self._unregister, of_version(UNREGISTER)),
            ),
            *self._rows(
                "/models/{model_name}/{model_version}/drift", GET=(self._drift, of_version(DRIFT))
            ),
            *self._rows(
                "/models/{model_name}/{model_version}/scaling",
                GET=(self._scaling, of_version(SCALING)),
            ),
            *self._rows(
                "/models/{model_name}/{model_version}/set-default",
                PUT=(self._set_default, SET_DEFAULT),
            ),
        ]

    def _rows(self, pattern: str, **methods: tuple[Handler, Operation]) -> list[Route]:
        return [
            Route((method,), pattern, handler, MANAGEMENT_ROLE, operations=(operation,))
            for method, (handler, operation) in methods.items()
        ]

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        self._rule.check(state_of(request), _query_of(request))
        return json_response(await self._host.describe(*_model_of(request)))

    async def _describe_all(self, request: web.Request) -> web.StreamResponse:
        self._rule.check(state_of(request), _query_of(request))
        return json_response(await self._host.describe_all(_model_of(request)[0]))

    async def _unregister(self, request: web.Request) -> web.StreamResponse:
        self._rule.check(state_of(request), _query_of(request))
        return _told(
            request, await self._host.operations.whole(self._host.unregister(*_model_of(request)))
        )

    async def _set_default(self, request: web.Request) -> web.StreamResponse:
        self._rule.check(state_of(request), _query_of(request))
        values = request.match_info
        setting = self._host.set_default(values["model_name"], values["model_version"])
        return _told(request, await self._host.operations.whole(setting))

    async def _drift(self, request: web.Request) -> web.StreamResponse:
        parameters = _query_of(request)
        last = integer_parameter(parameters, "last") or None
        self._rule.check(state_of(request), parameters)
        return json_response(await self._host.drift(*_model_of(request), last))

    async def _desired(self, request: web.Request) -> web.StreamResponse:
        self._rule.check(state_of(request), state_of(request).parameters())
        desired = self._host.watched.desired
        if desired is None:
            raise ResourceNotFound("This server follows no models_file: it is not set.")
        return json_response(desired.describe())

    async def _scaling(self, request: web.Request) -> web.StreamResponse:
        self._rule.check(state_of(request), state_of(request).parameters())
        return json_response(self._host.scaling(*_model_of(request)))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        parameters = _query_of(request)
        limit = lenient_integer(parameters.get("limit"), _MAX_LIMIT)
        if not 0 <= limit <= _MAX_LIMIT:
            limit = _MAX_LIMIT
        token = max(lenient_integer(parameters.get("next_page_token"), 0), 0)
        self._rule.check(state_of(request), parameters)
        models = self._host.list_models()
        end = token + limit
        document: dict[str, Any] = {}
        if end < len(models):
            document["nextPageToken"] = str(end)
        document["models"] = [
            {"modelName": name, "modelUrl": url, "graph": await self._graph_of(name)}
            for name, url in models[token:end]
        ]
        return json_response(document)

    async def _graph_of(self, name: str) -> Any:
        """Return state and nodes of a graph, None for another model."""
        if not self._host.is_graph(name):
            return None
        return (await self._host.describe(name))["graph"]

    async def _register(self, request: web.Request) -> web.StreamResponse:
        media_type = content_type_of(request).partition(b";")[0].strip().lower()
        is_json = media_type == b"application/json"
        if is_json:
            body = await read_body(request, self._max_body_bytes, self._body_timeout_s)
            charset = charset_of(content_type_of(request).decode("latin-1"))
            members = (
                members_of_body(body, charset)
                if len(body) <= _LOOP_BYTES
                else await asyncio.to_thread(members_of_body, body, charset)
            )
            notes = (
                ["the query has no effect beside a JSON body"] if state_of(request).query else []
            )
            parameters = Parameters(members, notes)
        else:
            parameters = _query_of(request, "it is not application/json")
        options = registration_of(parameters, is_json=is_json)
        if not is_json:
            check_url_is_whole(state_of(request).query, parameters)
        self._rule.check(state_of(request), parameters)
        if options.value_of("serving_spec") is not None and not self._host.sources.urls.allows(
            "serving_spec"
        ):
            # It brings code, as an archive of an address that is not allowed would.
            raise BadRequest(
                "serving_spec contains code and is refused here, because allowed_urls limits where models come from. "
                "One of its expressions that matches the word serving_spec allows it."
            )
        outcome = await self._host.operations.whole(
            # A copy is there to be tried, and not to come back.
            self._host.register(options, is_kept=options.copy_of is None)
        )
        # The log has it already.
        state_of(request).warnings += outcome.without_effect
        return _told(request, outcome)

    async def _scale(self, request: web.Request) -> web.StreamResponse:
        name, version = _model_of(request)
        parameters = _query_of(request)
        counts, changes = scaling_of(parameters)
        self._rule.check(state_of(request), parameters)
        version = counts.model_version or version
        min_workers = 1 if counts.min_worker is None else counts.min_worker
        max_workers = min_workers if counts.max_worker is None else counts.max_worker
        is_synchronous = bool(counts.synchronous)
        outcome = None
        if changes:
            changing = self._host.change(name, version, changes, is_synchronous)
            outcome = await self._host.operations.whole(changing)
        if outcome is None or "min_worker" in parameters or "max_worker" in parameters:
            scaling = self._host.scale(name, version, min_workers, max_workers, is_synchronous)
            outcome = await self._host.operations.whole(scaling)
        return _told(request, outcome)


def _model_of(request: web.Request) -> tuple[str, str | None]:
    """(name, version) of the path."""
    values = request.match_info
    return values["model_name"], values.get("model_version")


def _query_of(
    request: web.Request, why_not_the_body: str = "the parameters of this call are in its query"
) -> Parameters:
    """Return the parameters of a call that reads its query alone; a body beside it is told. Raises BadRequest."""
    has_body = request.body_exists
    notes = [f"the body has no effect: {why_not_the_body}"] if has_body else []
    return Parameters.of_query(state_of(request).query, notes)


def _told(request: web.Request, outcome: Outcome) -> web.StreamResponse:
    return json_response({"status": outcome.text}, outcome.status, outcome.phrase)
