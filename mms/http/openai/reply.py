"""Makes an answer of OpenAI's API of what a model answers, whole or in parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from mms.core import Request
from mms.core.request import Buffer, StreamReply
from mms.core.streams.replies import CollectedReply
from mms.errors import ServerError
from mms.http.answers import JSON_LINE, phrase_of
from mms.http.apis.model_asker import FutureReply
from mms.http.openai.completion import Completion, WholeCompletion
from mms.http.openai.errors import document_of_error, error_document
from mms.http.streams.form import StreamForm, without_type

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream
    from mms.http.streams.web import WebStream

_DONE: Final = b"data: [DONE]\n\n"
#: Of a message in an error.
_MOST_TOLD: Final = 4096


class ChunkForm(StreamForm):
    """A `data:` line for each chunk, and `[DONE]` behind the last one."""

    content_type = b"text/event-stream"
    is_events = True

    def __init__(self, completion: Completion) -> None:
        self._completion = completion

    def chunk(self, body: Buffer) -> bytes:
        return self._written(self._completion.choices_of(body))

    def error(self, error: ServerError) -> bytes:
        return _event(document_of_error(error))

    def end(self, *, is_cut: bool) -> bytes:
        last = self._written(self._completion.last_choices(is_cut=is_cut))
        usage = self._completion.last_chunk()
        return last + (b"" if usage is None else _event(usage)) + _DONE

    def _written(self, choices: list[dict[str, Any]]) -> bytes:
        # Clients take a chunk for each.
        return b"".join(_event(self._completion.chunk([choice])) for choice in choices)


class CompletionReply:
    """The reply of a request for a chat or a completion."""

    def __init__(
        self,
        asked_by: web.Request,
        completion: Completion,
        *,
        is_stream: bool,
        max_bytes: int,
    ) -> None:
        """`max_bytes`: of the parts of an answer that is sent as one."""
        self._form = ChunkForm(completion)
        self._whole = WholeCompletion(completion)
        self._is_stream = is_stream
        self._max_bytes = max_bytes
        self._plain = FutureReply(asked_by, self._form)

    def __repr__(self) -> str:
        return f"<CompletionReply by {self._form!r}>"

    @property
    def done(self) -> asyncio.Future[web.StreamResponse | WebStream]:
        return self._plain.done

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        lines = without_type(headers)
        if not 200 <= status < 300:
            self._plain.answer(request, status, phrase, lines + JSON_LINE, _told(status, body))
        elif self._is_stream:
            data = self._form.chunk(body) + self._form.end(is_cut=False)
            self._plain.answer(request, 200, b"", self._form.headers(headers), data)
        else:
            self._whole.append(body)
            self._plain.answer(request, 200, b"OK", lines + JSON_LINE, self._whole.whole())

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> StreamReply:
        if not 200 <= status < 300:
            return CollectedReply(self, (status, phrase, headers), stream, self._max_bytes)
        if self._is_stream:
            return self._plain.open_stream(request, 200, b"OK", headers, stream)
        self._whole.deadline = request.deadline
        head = (200, b"OK", without_type(headers) + JSON_LINE)
        return CollectedReply(self._plain, head, stream, self._max_bytes, self._whole)

    def fail(self, request: Request, error: ServerError) -> None:
        self._plain.fail(request, error)

    def give_up(self) -> None:
        self._plain.give_up()


def _event(document: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)


def _told(status: int, body: Buffer) -> bytes:
    """Return what a handler says with an error as the document of one, unless it is one."""
    text = bytes(body)
    try:
        found = orjson.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        return text
    message = text[:_MOST_TOLD].decode("utf-8", "replace") or phrase_of(status)
    return orjson.dumps(error_document(status, message))
