"""Routes of Triton's extension for generating: `generate` has one answer, `generate_stream` an event for each."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from mms.core import Request
from mms.core.request import Buffer, StreamReply
from mms.errors import ServerError
from mms.http.answers import message_form
from mms.http.apis.model_asker import FutureReply, ModelAsker
from mms.http.lane.head import LaneRoute
from mms.http.routing import INFERENCE_ROLE, Route, RouteChanged
from mms.http.routing.operation import JSON, OBJECT, TEXT, Operation, answer, object_of
from mms.http.routing.route import AnswerForm
from mms.http.streams.form import EventForm
from mms.http.streams.web import WebStream
from mms.http.web.request import state_of
from mms.interfaces import AUTO
from mms.interfaces.oip.front.dialects import Dialects
from mms.interfaces.oip.front.extensions import Concerns
from mms.interfaces.oip.front.metadata import check_takes_tensors
from mms.interfaces.oip.front.streams.only_part import OnlyPart
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream
    from mms.serving import ModelHost

_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = f"{_MODEL}/versions/{{model_version}}"
_ONE: Final = ModelOperation("infer", protocol="oip-generate")
_ANY: Final = _ONE._replace(takes_parts=True)
_SEVERAL: Final = "The model has several answers to the request; generate_stream takes them."


class GenerateRoutes:
    """Answers clients that generate."""

    def __init__(
        self, host: ModelHost, asker: ModelAsker, dialects: Dialects, mark: AnswerForm
    ) -> None:
        """`mark`: gives the errors of a request the protocol's form."""
        self._host = host
        self._asker = asker
        self._dialects = dialects
        self._mark = mark

    def __repr__(self) -> str:
        return f"<GenerateRoutes of {self._host!r}>"

    def rows(self, concerns_model: Concerns) -> list[Route]:
        """Return the rows. They count where a path's model speaks this protocol."""
        return [
            Route(
                ("POST",),
                f"{base}/{name}",
                partial(self._generate, is_stream),
                INFERENCE_ROLE,
                answer_form=self._mark,
                concerns=concerns_model,
                operations=(_described(name, of_version=base == _VERSION, is_stream=is_stream),),
            )
            for base in (_MODEL, _VERSION)
            for name, is_stream in (("generate", False), ("generate_stream", True))
        ]

    async def _generate(self, is_stream: bool, request: web.Request) -> web.StreamResponse:
        """Raises RouteChanged where the model turns out to have routes of its own."""
        state = state_of(request)
        name, version = state.match.values["model"], state.match.values.get("model_version")
        served = self._host.registry.get(name, version)
        if served.interface == AUTO:
            await served.learn_interface()
            if self._dialects.has(served):
                raise RouteChanged
        check_takes_tensors(served)
        route = LaneRoute(
            name, version, operation=_ANY if is_stream else _ONE, error_form=message_form
        )
        reply = _EventsReply(request) if is_stream else _OneReply(request)
        return await self._asker.ask(request, route, reply=reply)


class _OneReply:
    """The reply of `generate`."""

    def __init__(self, asked_by: web.Request) -> None:
        self._plain = FutureReply(asked_by)

    @property
    def done(self) -> asyncio.Future[web.StreamResponse | WebStream]:
        return self._plain.done

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._plain.answer(request, status, phrase, headers, body)

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> StreamReply:
        return OnlyPart(self, (status, phrase, headers), stream, _SEVERAL)

    def fail(self, request: Request, error: ServerError) -> None:
        self._plain.fail(request, error)

    def give_up(self) -> None:
        self._plain.give_up()


class _EventsReply(_OneReply):
    """The reply of `generate_stream`."""

    def __init__(self, asked_by: web.Request) -> None:
        super().__init__(asked_by)
        self._form = _Events()
        self._plain = FutureReply(asked_by, self._form)

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        if 200 <= status < 300:
            headers, body = self._form.headers(headers), self._form.chunk(body)
        self._plain.answer(request, status, phrase, headers, body)

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> StreamReply:
        return self._plain.open_stream(request, status, phrase, headers, stream)


class _Events(EventForm):
    """An event for each answer. The last one has a member `error` where something went wrong."""

    def error(self, error: ServerError) -> bytes:
        return self.chunk(orjson.dumps({"error": error.message or ""}))


# Descriptions

_ERROR: Final = object_of(["error"], error=TEXT)
_ANSWER: Final = object_of(["model_name", "model_version"], model_name=TEXT, model_version=TEXT)
_EVENT: Final = {"text/event-stream": {"schema": TEXT}}
_REFUSALS: Final = {
    "400": "The request is wrong.",
    "404": "There is no such model, or version of it.",
    "408": "Not answered in time.",
    "500": "The model failed.",
    "501": "The model has several answers.",
    "503": "The model is not ready, or no worker can take the request.",
}


def _described(name: str, *, of_version: bool, is_stream: bool) -> Operation:
    done: dict[str, Any] = answer("Outputs by their names.", _ANSWER)
    if is_stream:
        done = {"description": "An event for each answer.", "content": _EVENT}
    words = name.replace("_stream", "Stream")
    return Operation(
        "post",
        f"{words}OfVersion" if of_version else words,
        "Inputs and parameters as members of one object; "
        + ("events." if is_stream else "one answer."),
        {"200": done, **{code: answer(text, _ERROR) for code, text in _REFUSALS.items()}},
        body={"required": True, "content": {JSON: {"schema": OBJECT}}},
        tag="Open Inference",
    )
