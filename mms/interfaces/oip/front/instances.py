"""Routes of KServe's first protocol, which is TensorFlow Serving's: `/v1/models`, `:predict` and `:explain`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from mms.errors import ModelNotFound, ServiceUnavailable
from mms.http.answers import JSON_LINE, message_form
from mms.http.apis.model_asker import ModelAsker
from mms.http.lane.head import LaneRoute
from mms.http.openai.errors import error_form as openai_error_form
from mms.http.openai.errors import is_openai_client, no_such_model
from mms.http.routing import ANY_ROLE, INFERENCE_ROLE, Match, Route
from mms.http.routing.operation import JSON, TEXT, Operation, answer, object_of
from mms.http.routing.route import AnswerForm
from mms.http.web.request import state_of
from mms.http.web.response import respond
from mms.interfaces import AUTO
from mms.interfaces.oip.front.dialects import Dialects
from mms.interfaces.oip.front.metadata import check_takes_tensors
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.serving import ModelHost

_MODELS: Final = "/v1/models"
_MODEL: Final = f"{_MODELS}/{{model}}"
_VERSION: Final = f"{_MODEL}/versions/{{model_version}}"
_GET: Final = ("GET", "HEAD")
_PROTOCOL: Final = "kserve-v1"
#: What stands behind the last name of a path.
_OPERATIONS: Final = {
    verb: ModelOperation(verb, protocol=_PROTOCOL) for verb in ("predict", "explain")
}


class InstanceRoutes:
    """Answers what clients of that protocol ask."""

    def __init__(
        self, host: ModelHost, asker: ModelAsker, dialects: Dialects, mark: AnswerForm
    ) -> None:
        """`mark`: gives the errors of a request the protocol's form."""
        self._host = host
        self._asker = asker
        self._dialects = dialects
        self._mark_as_kserve = mark
        self._started_at = int(time.time())

    def __repr__(self) -> str:
        return f"<InstanceRoutes of {self._host!r}>"

    def rows(self) -> list[Route]:
        rows = [
            Route(
                _GET,
                _MODELS,
                self._models,
                INFERENCE_ROLE,
                answer_form=self._mark,
                concerns=self._concerns_server,
                operations=(_DESCRIBED[_MODELS],),
            )
        ]
        for pattern in (_MODEL, _VERSION):
            rows += [
                Route(
                    ("POST",),
                    pattern,
                    self._infer,
                    INFERENCE_ROLE,
                    answer_form=self._mark,
                    fast_path=self._lane_route,
                    concerns=self._concerns_operation,
                    operations=_INFERENCE[pattern],
                ),
                Route(
                    _GET,
                    pattern,
                    self._ready,
                    ANY_ROLE,
                    answer_form=self._mark,
                    concerns=self._concerns_model,
                    operations=(_DESCRIBED[pattern],),
                ),
            ]
        return rows

    def _concerns_server(self, values: Mapping[str, str]) -> bool:
        # Graphs of those that have the root read whole paths.
        return not self._dialects.are_alone

    def _concerns_operation(self, values: Mapping[str, str]) -> bool:
        asked = _asked(values)
        return asked is not None and self._is_known(asked[0])

    def _concerns_model(self, values: Mapping[str, str]) -> bool:
        return bool(values["model"]) and self._is_known(values["model"])

    def _is_known(self, name: str) -> bool:
        return not self._dialects.are_alone or self._host.registry.has_name(name)

    # Inference

    def _lane_route(self, match: Match) -> LaneRoute | None:
        """Return the route where the lane can serve it: the model is there, and known to take tensors."""
        asked = _asked(match.values)
        assert asked is not None
        name, version, verb = asked
        try:
            served = self._host.registry.get(name, version)
        except ModelNotFound:
            return None
        is_known = served.interface != AUTO and served.takes_tensors
        return _route(*asked) if is_known else None

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        state = state_of(request)
        asked = _asked(state.match.values)
        assert asked is not None
        name, version, _ = asked
        served = self._host.registry.get(name, version)
        state.model, state.version = name, version or ""
        if served.interface == AUTO:
            await served.learn_interface()
        check_takes_tensors(served)
        return await self._asker.ask(request, _route(*asked))

    # What there is

    def _mark(self, request: web.Request) -> None:
        # The clients of OpenAI's API ask by the same paths which models there are.
        if is_openai_client(request):
            state_of(request).error_form = openai_error_form
        else:
            self._mark_as_kserve(request)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        models = self._host.registry.all()
        # OpenAI's clients read members of their own.
        of_openai = sorted({served.name for served in models if served.effective.openai})
        return _respond(
            {
                "models": sorted({served.name for served in models}),
                "object": "list",
                "data": [self._for_openai(name) for name in of_openai],
            }
        )

    def _for_openai(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._started_at,
            "owned_by": "multi-model-server",
        }

    async def _ready(self, request: web.Request) -> web.StreamResponse:
        values = state_of(request).match.values
        name, version = values["model"], values.get("model_version")
        registry = self._host.registry
        if is_openai_client(request) and not (
            registry.has_name(name) and registry.get(name).effective.openai
        ):
            raise no_such_model(name)
        served = registry.get(name, version)
        problems = self._host.problems_of(served.name, version)
        if problems:
            # The reasons name models.
            reasons = " ".join(problems) if state_of(request).is_trusted else "not ready"
            raise ServiceUnavailable(reasons)
        more = self._for_openai(served.name) if served.effective.openai else {}
        return _respond({"name": served.name, "ready": True, **more})


def _asked(values: Mapping[str, str]) -> tuple[str, str | None, str] | None:
    """Return (model, version, operation) of a path; None where it names no operation."""
    last = "model_version" if "model_version" in values else "model"
    text, _, verb = values[last].rpartition(":")
    if verb not in _OPERATIONS or not text:
        return None
    return (text, None, verb) if last == "model" else (values["model"], text, verb)


def _route(name: str, version: str | None, verb: str) -> LaneRoute:
    return LaneRoute(
        name,
        version,
        operation=_OPERATIONS[verb],
        error_form=message_form,
        methods=frozenset((b"POST",)),
    )


def _respond(document: dict[str, Any]) -> web.StreamResponse:
    return respond(200, None, JSON_LINE, orjson.dumps(document))


# Descriptions

_TAG: Final = "KServe v1"
_ERROR: Final = object_of(["error"], error={**TEXT, "description": "What is wrong."})
_ANY_LIST: Final = {"type": "array", "items": {}}
_REQUEST: Final = object_of(
    ["instances"],
    instances={**_ANY_LIST, "description": "One element a row."},
)
_ANSWER: Final = object_of(
    [],
    predictions={"description": "One element a row."},
    explanations={"description": "Of :explain."},
)
_READY: Final = object_of(["name", "ready"], name=TEXT, ready={"type": "boolean"})
_REFUSALS: Final = {
    "400": "The request is wrong.",
    "404": "There is no such model, or version of it.",
    "500": "The model failed.",
    "501": "The model gives no explanations.",
    "503": "The model is not ready, or no worker can take the request.",
}


def _described(
    method: str, id_: str, text: str, schema: dict[str, Any], *codes: str, body: Any = None
) -> Operation:
    responses = {"200": answer("OK", schema)}
    responses |= {code: answer(_REFUSALS[code], _ERROR) for code in codes}
    content = None
    if body is not None:
        content = {"required": True, "content": {JSON: {"schema": body}}}
    return Operation(method, id_, text, responses, body=content, tag=_TAG)


def _inference(id_: str, what: str) -> tuple[Operation, ...]:
    codes = ("400", "404", "500", "501", "503")
    return tuple(
        replace(
            _described(
                "post", f"{id_}{suffix}", f"{title} {what}.", _ANSWER, *codes, body=_REQUEST
            ),
            verb=verb,
        )
        for verb, suffix, title in (
            (":predict", "", "Predictions of"),
            (":explain", "Explain", "Explanations of"),
        )
    )


_INFERENCE: Final = {
    _MODEL: _inference("v1Predict", "a model"),
    _VERSION: _inference("v1PredictVersion", "a version of a model"),
}
_DESCRIBED: Final = {
    _MODELS: _described(
        *("get", "v1Models", "The names of the models."),
        object_of(["models"], models={"type": "array", "items": TEXT}),
    ),
    _MODEL: _described("get", "v1Ready", "Whether a model is ready.", _READY, "404", "503"),
    _VERSION: _described(
        "get", "v1VersionReady", "Whether a version is ready.", _READY, "404", "503"
    ),
}
