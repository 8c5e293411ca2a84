"""The next requests to a model and their answers, as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from mms import faults
from mms.bodies.json_text import to_json
from mms.errors import BadRequest, Forbidden, ModelNotFound
from mms.http.apis.registration_parameters import integer_parameter
from mms.http.parameters import ParameterRule
from mms.http.routing import MANAGEMENT_ROLE, Route
from mms.http.routing.operation import Operation, Parameter, answer, described, errors, object_of
from mms.http.web.live_stream import LiveStream, LiveStreams
from mms.http.web.request import state_of
from mms.serving.samples import MOST_SAMPLES

if TYPE_CHECKING:
    from mms.serving import ModelHost

_COUNT: Final = 10
_SECONDS: Final = 60
_MOST_SECONDS: Final = 600
_NDJSON: Final = "application/x-ndjson"
SAMPLES: Final = Operation(
    "get",
    "modelSamples",
    "The next requests to a model and their answers, as lines of JSON. Credentials and what sample_redact names are "
    "hidden.",
    {
        "200": answer(
            "OK",
            object_of(
                ["time", "requestId", "modelName", "request", "answer"],
                time=described("string", "When the request was taken, in UTC."),
                requestId=described("string", "Id of the request."),
                modelName=described("string", "Name of the model."),
                modelVersion=described("string", "The version that was asked for."),
                request=described("object", "Its query, headers and body."),
                answer=described(
                    "object", "Its status, milliseconds, headers and body, or its error."
                ),
            ),
        ),
        **errors("400", "404", "503"),
    },
    (
        Parameter("count", f"How many, at most {MOST_SAMPLES}.", "integer", _COUNT),
        Parameter(
            "seconds", f"How long to wait for them, at most {_MOST_SECONDS}.", "integer", _SECONDS
        ),
    ),
)


class ModelSampleApi:
    """The route of samples."""

    def __init__(
        self, host: ModelHost, streams: LiveStreams, rule: ParameterRule, *, is_allowed: bool
    ) -> None:
        self._host = host
        self._streams = streams
        self._rule = rule
        self._is_allowed = is_allowed

    def __repr__(self) -> str:
        return f"<ModelSampleApi of {self._host.samples!r}>"

    def routes(self) -> list[Route]:
        return [
            Route(
                ("GET",),
                "/models/{model_name}/samples",
                self._answer,
                MANAGEMENT_ROLE,
                # A version of that name can be scaled and unregistered.
                applies=lambda method: method == "GET",
                operations=(SAMPLES,),
            )
        ]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Raises BadRequest, Forbidden, ModelNotFound, ServiceUnavailable."""
        if not self._is_allowed:
            raise Forbidden("Requests are shown to nobody: the setting sample_requests is false.")
        state = state_of(request)
        parameters = state.parameters()
        count = integer_parameter(parameters, "count")
        seconds = integer_parameter(parameters, "seconds")
        self._rule.check(state, parameters)
        for name, value, most in (
            ("count", count, MOST_SAMPLES),
            ("seconds", seconds, _MOST_SECONDS),
        ):
            if value is not None and not 1 <= value <= most:
                raise BadRequest(f"Parameter {name} is to be from 1 to {most}.")
        model = request.match_info["model_name"]
        if not self._host.has_model(model):
            raise ModelNotFound(f"Model not found: {model}")
        count = _COUNT if count is None else count
        seconds = _SECONDS if seconds is None else seconds
        with self._host.samples.watched(model, count) as watcher:
            async with self._streams.open(request, _NDJSON) as (stream, response):
                watcher.wake = stream.wake
                timer = asyncio.get_running_loop().call_later(seconds, self._end, stream)
                try:
                    sent = 0
                    while sent < count:
                        lines = [to_json(sample) + b"\n" for sample in watcher.samples]
                        watcher.samples.clear()
                        if lines:
                            sent += len(lines)
                            await stream.send(b"".join(lines))
                        elif not await stream.wait():
                            break
                finally:
                    timer.cancel()
        return response

    @faults.contained("sample")
    def _end(self, stream: LiveStream) -> None:
        stream.end()
