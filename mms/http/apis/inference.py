"""The inference API: health, descriptions, predictions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from mms.errors import BadRequest
from mms.http.apis.model_asker import ModelAsker
from mms.http.apis.model_in_form import model_in_form
from mms.http.lane.head import LaneRoute
from mms.http.routing import ANY_METHOD, INFERENCE_ROLE, OPEN, Match, Route, first_values
from mms.http.routing.document import document_of_model
from mms.http.routing.operation import (
    BINARY,
    OBJECT,
    Operation,
    Parameter,
    answer,
    described,
    errors,
    object_of,
)
from mms.http.web.request import content_type_of, state_of
from mms.http.web.response import json_response

if TYPE_CHECKING:
    from mms.serving import ModelHost

_OUTPUT: Final = {"200": {"description": "The output, in the model's own form.", "content": BINARY}}
_INPUT: Final = {
    "description": "The input, in the form that the model takes.",
    "content": BINARY,
    "required": True,
}
_FORM: Final = object_of(
    ["data"],
    model_name=described("string", "Name of the model."),
    data={"type": "string", "format": "binary", "description": "The input."},
)
_INPUT_OR_FORM: Final = {
    "description": "The input, in the form that the model takes; a form for one.",
    "content": {"multipart/form-data": {"schema": _FORM}, **BINARY},
    "required": True,
}
_MODEL_IN_QUERY: Final = Parameter("model_name", "Name of the model.")
_NO_MODEL: Final = "Parameter model_name is required."
_PING: Final = object_of(["status"], status=described("string", "Health of the server."))


class InferenceApi:
    """The routes of the inference listener."""

    def __init__(self, host: ModelHost, asker: ModelAsker, *, is_strict_ping: bool) -> None:
        self._host = host
        self._asker = asker
        self._is_strict_ping = is_strict_ping

    def routes(self) -> list[Route]:
        ping = Operation(
            "get",
            "ping",
            "Health of the server.",
            {"200": answer("Health", _PING), **errors("500")},
        )
        one = {"200": answer("OK", OBJECT)}
        return [
            # MMS looks at the first segment alone.
            Route(ANY_METHOD, "/ping/{tail:.*}", self._ping, OPEN, operations=(ping,)),
            *self._predictions(
                "/predictions/{model_name}",
                _predict("predictions"),
                Operation("options", "predictionsApi", "The API of one model.", one),
                passes_query=False,
            ),
            *self._predictions(
                "/predictions/{model_name}/{model_version}/{tail:.*}",
                _predict("versionedPredictions"),
                passes_query=False,
            ),
            *self._predictions("/invocations", _invocations("invocations", _MODEL_IN_QUERY)),
            *self._predictions("/models/{model_name}/invoke", _invocations("invoke")),
            *self._predictions("/{model_name}/predict", _predict("predict", is_deprecated=True)),
        ]

    def _predictions(
        self, pattern: str, *operations: Operation, passes_query: bool = True
    ) -> list[Route]:
        """Return a prediction by any method, and the description of the model by OPTIONS."""

        async def predict(request: web.Request) -> web.StreamResponse:
            match, query = state_of(request).match, state_of(request).query
            model, body = self._named_model(match, query), None
            if model is None:
                body = await self._asker.read_body(request)
                model = await asyncio.to_thread(model_in_form, content_type_of(request), body)
            if model is None:
                raise BadRequest(_NO_MODEL)
            route = LaneRoute(model, match.values.get("model_version"), passes_query)
            return await self._asker.ask(request, route, body)

        def fast_path(match: Match) -> LaneRoute:
            values = match.values
            return LaneRoute(values["model_name"], values.get("model_version"), passes_query)

        described_by = {operation.method: operation for operation in operations}
        own = described_by.pop("options", None)
        return [
            Route(
                ("OPTIONS",),
                pattern,
                self._describe_model,
                INFERENCE_ROLE,
                operations=(own,) if own is not None else (),
            ),
            Route(
                ANY_METHOD,
                pattern,
                predict,
                INFERENCE_ROLE,
                # It knows a route by its path: a model in the query is looked up each time.
                fast_path=fast_path if "{model_name}" in pattern else None,
                operations=tuple(described_by.values()),
            ),
        ]

    def _named_model(self, match: Match, query: bytes) -> str | None:
        """Return the model that a path names, or its query, or the only one that there was at the start."""
        if "model_name" in match.values:
            return match.values["model_name"]
        named = first_values(query).get("model_name")
        if named:
            return named
        default = self._host.default_model_name()
        return named if default is None else default

    async def _describe_model(self, request: web.Request) -> web.StreamResponse:
        match = state_of(request).match
        model = self._named_model(match, state_of(request).query)
        if model is None:
            raise BadRequest(_NO_MODEL)
        self._host.check_model(model, match.values.get("model_version"))
        return json_response(document_of_model(model))

    async def _ping(self, request: web.Request) -> web.StreamResponse:
        status = self._host.ping()
        is_bad = self._is_strict_ping and status != "Healthy"
        return json_response({"status": status}, status=503 if is_bad else 200)


def _predict(id_: str, *, is_deprecated: bool = False) -> Operation:
    return Operation(
        "post",
        id_,
        "A prediction by the model.",
        {**_OUTPUT, **errors("404", "500", "503")},
        body=_INPUT,
        is_deprecated=is_deprecated,
    )


def _invocations(id_: str, *parameters: Parameter) -> Operation:
    return Operation(
        "post",
        id_,
        "A prediction by the model that path or query names, or by the only one.",
        {**_OUTPUT, **errors("400", "404", "500", "503")},
        parameters,
        _INPUT_OR_FORM,
    )
