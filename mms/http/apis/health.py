"""Health for probes: is it alive, has it started, is it ready, is a model ready. MMS's own `/ping` is beside these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from mms.http.routing import ANY_ROLE, OPEN, Route
from mms.http.routing.operation import (
    TEXT,
    Operation,
    answer,
    described,
    errors,
    object_of,
)
from mms.http.web.request import state_of
from mms.http.web.response import json_response

if TYPE_CHECKING:
    from mms.serving import ModelHost

_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_OF_MODEL: Final = "/models/{model_name}"
_GOOD: Final = answer(
    "Yes.", object_of(["status"], status=described("string", "Live, Started or Ready."))
)
_BAD: Final = answer(
    "Not yet.",
    object_of(
        ["status"],
        status=described("string", "NotStarted or NotReady."),
        reasons={"type": "array", "items": TEXT, "description": "Why, model by model."},
    ),
)


class HealthApi:
    """Answers 200, or 503 with the reasons. These name models: where keys are demanded, one is needed to see them."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host

    def routes(self) -> list[Route]:
        of_model = {"200": _GOOD, **errors("404"), "503": _BAD}
        of_server = {"200": _GOOD, "503": _BAD}
        alive = Operation("get", "livez", "Whether it answers.", {"200": _GOOD})
        started = Operation("get", "startupz", "Whether the start is finished.", of_server)
        ready = Operation("get", "readyz", "Whether all models are ready.", of_server)
        of_name = Operation("get", "ready", "Whether a model is ready.", of_model)
        of_version = Operation("get", "readyOfVersion", "Whether a version is ready.", of_model)
        rows = (
            ("/livez", self._live, OPEN, alive),
            ("/startupz", self._started, OPEN, started),
            ("/readyz", self._ready, OPEN, ready),
            (f"{_OF_MODEL}/ready", self._model_ready, ANY_ROLE, of_name),
            (f"{_OF_MODEL}/{{model_version}}/ready", self._model_ready, ANY_ROLE, of_version),
        )
        return [
            Route(_METHODS, pattern, handler, roles, operations=(operation,))
            for pattern, handler, roles, operation in rows
        ]

    async def _live(self, request: web.Request) -> web.StreamResponse:
        # That this is answered is the answer.
        return json_response({"status": "Live"})

    async def _started(self, request: web.Request) -> web.StreamResponse:
        return _tell(request, "Started", self._host.startup_problems())

    async def _ready(self, request: web.Request) -> web.StreamResponse:
        return _tell(request, "Ready", self._host.problems())

    async def _model_ready(self, request: web.Request) -> web.StreamResponse:
        """Raises ModelNotFound."""
        values = request.match_info
        problems = self._host.problems_of(values["model_name"], values.get("model_version"))
        return _tell(request, "Ready", problems)


def _tell(request: web.Request, good: str, problems: list[str]) -> web.StreamResponse:
    if not problems:
        return json_response({"status": good})
    document: dict[str, Any] = {"status": f"Not{good}"}
    if state_of(request).is_trusted:
        document["reasons"] = problems
    return json_response(document, status=503)
