"""The newest lines of models, and those that come: what their workers print and log, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from mms.bodies.json_text import to_json
from mms.errors import BadRequest, ModelNotFound
from mms.http.apis.registration_parameters import integer_parameter
from mms.http.parameters import ParameterRule, Parameters
from mms.http.routing import MANAGEMENT_ROLE, Route
from mms.http.routing.operation import Operation, Parameter, answer, described, errors, object_of
from mms.http.web.live_stream import EVENT_STREAM, LiveStreams, accepts_events
from mms.http.web.request import state_of
from mms.http.web.response import json_response
from mms.observe.model_lines import MOST_LINES, ModelLine, ModelLines
from mms.registration import InvalidValue
from mms.registration.kind import truth_of

if TYPE_CHECKING:
    from mms.serving import ModelHost

_LINES: Final = 100
#: Lines in one write.
_PORTION: Final = 200
_NDJSON: Final = "application/x-ndjson"
_LINE: Final = object_of(
    ["number", "time", "level", "modelName", "worker", "stream", "logger", "message"],
    number=described("integer", "Its number; later lines have larger ones."),
    time=described("string", "When, in the server's local time."),
    level=described("string", "DEBUG, INFO, WARN, ERROR or FATAL."),
    modelName=described("string", "Name of the model."),
    worker=described("string", "Name of the worker; empty where the line is of none."),
    stream={
        "type": "string",
        "description": "Where it was written; server: by the server, of the model.",
        "enum": ["stdout", "stderr", "server"],
    },
    logger=described("string", "Name of the logger."),
    message=described("string", "The line."),
)
_PARAMETERS: Final = (
    Parameter("lines", f"How many of the newest lines, at most {MOST_LINES}.", "integer", _LINES),
    Parameter(
        "follow",
        "Go on with each line that comes, as lines of JSON; as events for a client that accepts text/event-stream.",
        "boolean",
        False,
    ),
)
_ANSWERS: Final = {
    "200": answer(
        "OK",
        object_of(
            ["lines"],
            lines={"type": "array", "items": _LINE, "description": "The lines, the oldest first."},
        ),
    ),
    **errors("400", "404", "503"),
}
LOGS: Final = Operation(
    "get",
    "modelLogs",
    "The newest lines of a model's log, and those that come.",
    _ANSWERS,
    _PARAMETERS,
)
ALL_LOGS: Final = Operation(
    "get",
    "logs",
    "The newest lines of all models' logs, and those that come.",
    _ANSWERS,
    _PARAMETERS,
)


class ModelLogApi:
    """The routes of lines. A model that has gone has them until others need the room."""

    def __init__(
        self, host: ModelHost, lines: ModelLines, streams: LiveStreams, rule: ParameterRule
    ) -> None:
        self._host = host
        self._lines = lines
        self._streams = streams
        self._rule = rule

    def __repr__(self) -> str:
        return f"<ModelLogApi of {self._lines!r}>"

    def routes(self) -> list[Route]:
        return [
            Route(("GET",), "/logs", self._answer, MANAGEMENT_ROLE, operations=(ALL_LOGS,)),
            Route(
                ("GET",),
                "/models/{model_name}/logs",
                self._answer,
                MANAGEMENT_ROLE,
                # A version of that name can be scaled and unregistered.
                applies=lambda method: method == "GET",
                operations=(LOGS,),
            ),
        ]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Raises BadRequest, ModelNotFound, ServiceUnavailable."""
        state = state_of(request)
        parameters = state.parameters()
        count = integer_parameter(parameters, "lines")
        is_followed = _truth_parameter(parameters, "follow") or accepts_events(request)
        self._rule.check(state, parameters)
        model = request.match_info.get("model_name")
        if model is not None and not self._lines.has(model) and not self._host.has_model(model):
            raise ModelNotFound(f"Model not found: {model}")
        newest = self._lines.newest(model, min(_LINES if count is None else count, MOST_LINES))
        if is_followed:
            return await self._follow(request, model, newest)
        return json_response({"lines": [line.describe() for line in newest]})

    async def _follow(
        self, request: web.Request, model: str | None, newest: list[ModelLine]
    ) -> web.StreamResponse:
        is_events = accepts_events(request)
        seen = self._seen_by(request) if is_events else None
        form = _event if is_events else _line
        content_type = EVENT_STREAM if is_events else _NDJSON
        async with self._streams.open(request, content_type) as (stream, response):
            with self._lines.watched(stream.wake):
                if seen is None:
                    seen = newest[-1].number if newest else self._lines.last_number
                    await stream.send(_joined(newest, form))
                while True:
                    lines, is_missing = self._lines.after(model, seen, _PORTION)
                    if lines:
                        seen = lines[-1].number
                        lost = (_LOST_EVENT if is_events else _LOST) if is_missing else b""
                        await stream.send(lost + _joined(lines, form))
                    elif not await stream.wait():
                        break
        return response

    def _seen_by(self, request: web.Request) -> int | None:
        """Return the line after which a browser goes on that has lost its connection."""
        text = request.headers.get("Last-Event-ID", "")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            return None
        return min(int(text), self._lines.last_number)


_LOST: Final = b'{"lost":true}\n'
_LOST_EVENT: Final = b"event: lost\ndata: {}\n\n"


def _joined(lines: Iterable[ModelLine], form: Callable[[ModelLine], bytes]) -> bytes:
    return b"".join([form(line) for line in lines])


def _line(line: ModelLine) -> bytes:
    return line.rendered(to_json) + b"\n"


def _event(line: ModelLine) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (line.number, line.rendered(to_json))


def _truth_parameter(parameters: Parameters, name: str) -> bool:
    """Raises BadRequest."""
    try:
        return truth_of(parameters.get(name) or False)
    except InvalidValue as error:
        raise BadRequest(f"Parameter {name} {error}") from None
