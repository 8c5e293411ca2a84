"""The routes of OpenAI's API: chats and completions by the models that say `openai`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from mms.bodies.large_json import apart, read_in_pieces
from mms.errors import BadRequest
from mms.http.apis.model_asker import ModelAsker
from mms.http.lane.head import LaneRoute
from mms.http.openai.completion import Completion
from mms.http.openai.errors import error_form, no_such_model
from mms.http.openai.reply import CompletionReply
from mms.http.routing import INFERENCE_ROLE, Route
from mms.http.routing.operation import JSON, OBJECT, TEXT, Operation, answer, object_of
from mms.http.web.request import state_of
from mms.interfaces import INTERFACES

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.serving.served.served_model import ServedModel

_WITH_ROOTS: Final = frozenset(each.name for each in INTERFACES if each.has_v2_dialect)
_CHAT: Final = "/v1/chat/completions"
_COMPLETIONS: Final = "/v1/completions"


class OpenAiApi:
    """Answers what clients of OpenAI's API ask."""

    def __init__(self, host: ModelHost, asker: ModelAsker, *, max_response_bytes: int) -> None:
        self._host = host
        self._asker = asker
        self._max_response_bytes = max_response_bytes
        self._generation = -1
        self._has_paths = True

    def __repr__(self) -> str:
        return f"<OpenAiApi of {self._host!r}>"

    def routes(self) -> list[Route]:
        return [
            Route(
                ("POST",),
                path,
                partial(self._complete, path == _CHAT),
                INFERENCE_ROLE,
                answer_form=_mark,
                applies=self._applies,
                operations=(operation,),
            )
            for path, operation in _DESCRIBED.items()
        ]

    def _applies(self, method: str) -> bool:
        # Graphs that have the root read whole paths, unless a model asks for these.
        registry = self._host.registry
        if self._generation != registry.generation:
            self._generation = registry.generation
            models = registry.all()
            self._has_paths = any(served.effective.openai for served in models) or not any(
                served.interface in _WITH_ROOTS for served in models
            )
        return self._has_paths

    async def _complete(self, is_chat: bool, request: web.Request) -> web.StreamResponse:
        body = await self._asker.read_body(request)
        asked = await _read(body, is_chat)
        served, version = self._find(asked["model"])
        options = asked.get("stream_options") or {}
        completion = Completion(
            state_of(request).id.decode("latin-1"),
            asked["model"],
            is_chat=is_chat,
            has_usage=options.get("include_usage") is True,
        )
        reply = CompletionReply(
            request,
            completion,
            is_stream=asked.get("stream") is True,
            max_bytes=self._max_response_bytes,
        )
        return await self._asker.ask(
            request,
            LaneRoute(served.name, version),
            body,
            content_type=b"application/json",
            reply=reply,
        )

    def _find(self, name: str) -> tuple[ServedModel, str | None]:
        """Return the model of a name, or of `name:version`. Raises ModelNotFound."""
        registry = self._host.registry
        version = None
        if not registry.has_name(name) and ":" in name:
            named, _, version = name.rpartition(":")
            served = registry.get(named, version) if registry.has(named, version) else None
        else:
            served = registry.get(name) if registry.has_name(name) else None
        if served is None or not served.effective.openai:
            raise no_such_model(name)
        return served, version


async def _read(body: bytes | bytearray, is_chat: bool) -> dict[str, Any]:
    """Return the document of a request. Raises BadRequest."""
    try:
        asked = await apart(len(body), read_in_pieces, body, orjson.loads)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body of the request is no JSON: {error}") from None
    if not isinstance(asked, dict):
        raise BadRequest("The body of the request is to be a JSON object.")
    if not isinstance(asked.get("model"), str):
        raise BadRequest("`model` is to be the name of a model.")
    if is_chat:
        messages = asked.get("messages")
        if (
            not isinstance(messages, list)
            or not messages
            or not all(isinstance(message, dict) for message in messages)
        ):
            raise BadRequest("`messages` is to be a list of one or more messages.")
    elif not isinstance(asked.get("prompt"), str | list):
        raise BadRequest("`prompt` is to be a text or a list.")
    if not isinstance(asked.get("stream"), bool | None):
        raise BadRequest("`stream` is to be true or false.")
    if not isinstance(asked.get("stream_options"), dict | None):
        raise BadRequest("`stream_options` is to be an object.")
    return asked


def _mark(request: web.Request) -> None:
    state_of(request).error_form = error_form


# Descriptions

_TAG: Final = "OpenAI"
_ERROR: Final = object_of(["error"], error=OBJECT)
_TRUTH: Final = {"type": "boolean"}
_REFUSALS: Final = {
    "400": "The request is wrong.",
    "404": "There is no such model, or it does not answer these clients.",
    "500": "The model failed.",
    "503": "No worker can take the request.",
}


def _described(id_: str, text: str, **members: Any) -> Operation:
    body = object_of(["model", *members], model=TEXT, stream=_TRUTH, **members)
    responses = {"200": answer("The answer; with `stream` its events.", OBJECT)}
    responses |= {code: answer(told, _ERROR) for code, told in _REFUSALS.items()}
    content = {"required": True, "content": {JSON: {"schema": body}}}
    return Operation("post", id_, text, responses, body=content, tag=_TAG)


_DESCRIBED: Final = {
    _CHAT: _described(
        "chatCompletions",
        "An answer to a chat, by a model that says `openai`.",
        messages={"type": "array", "items": {}},
    ),
    _COMPLETIONS: _described(
        "completions", "What follows a prompt, by a model that says `openai`.", prompt={}
    ),
}
