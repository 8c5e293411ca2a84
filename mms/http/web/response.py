"""Answers on the aiohttp side, in the same form as the fast path's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from aiohttp import web
from multidict import CIMultiDict

from mms.core.request import Buffer
from mms.errors import ServerError
from mms.http.answers import (
    COMMON_HEADERS,
    JSON_LINE,
    Answers,
    error_body,
    error_headers,
    phrase_of,
    render_json,
)
from mms.http.parameters import warning_lines
from mms.http.request_head import is_kept_alive
from mms.http.web.request import can_go_on_after, find_state, state_of

#: What aiohttp calls before it writes a head.
OnPrepare: TypeAlias = "Callable[[web.Request, web.StreamResponse], Awaitable[None]]"

#: What aiohttp adds to a head that has none of its own.
_ADDED: Final = ("Server", "Date", "Content-Type")
#: Where a response has the names of headers that it was made with.
_OWN: Final = web.ResponseKey("own_headers", CIMultiDict[str])


def header_pairs(lines: bytes) -> CIMultiDict[str]:
    """Finished header lines as aiohttp takes them. It writes UTF-8."""
    pairs: CIMultiDict[str] = CIMultiDict()
    for line in lines.split(b"\r\n"):
        if line:
            name, _, value = line.partition(b":")
            pairs.add(name.decode("latin-1"), _text_of(value.strip()))
    return pairs


def _text_of(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def respond(status: int, phrase: bytes | None, headers: bytes, body: Buffer) -> web.Response:
    """Return a finished answer. `phrase` None: the usual one. `headers`: finished lines."""
    pairs = header_pairs(headers)
    # aiohttp would take a view for a stream of unknown content.
    whole = bytes(body) if isinstance(body, memoryview) else body
    response = web.Response(
        status=status,
        reason=phrase_of(status) if phrase is None else phrase.decode("utf-8", "replace"),
        headers=pairs,
        # RFC 9110, section 15.3.6: it has no body, and says so.
        body=b"" if status == 205 else whole,
    )
    response[_OWN] = pairs
    return response


def streamed_response(content_type: str) -> web.StreamResponse:
    """Return an answer whose body is written little by little."""
    # What stands between is to hand each part on at once.
    headers = f"content-type: {content_type}\r\nx-accel-buffering: no\r\n"
    return _in_parts(200, None, headers.encode())


def stream_response(
    request: web.Request, status: int, phrase: bytes | None, headers: bytes
) -> web.StreamResponse:
    """Return an answer to be sent in parts, as `respond` a whole one."""
    response = _in_parts(status, phrase, headers)
    if request.version >= (1, 1):
        response.enable_chunked_encoding()
    else:
        # HTTP/1.0 knows the end of a body without a length by that of the connection.
        response.force_close()
    return response


def _in_parts(status: int, phrase: bytes | None, headers: bytes) -> web.StreamResponse:
    pairs = header_pairs(headers)
    response = web.StreamResponse(
        status=status,
        reason=phrase_of(status) if phrase is None else phrase.decode("utf-8", "replace"),
        headers=pairs,
    )
    response[_OWN] = pairs
    return response


def json_response(value: Any, status: int = 200, phrase: str | None = None) -> web.Response:
    """JSON as MMS writes it."""
    reason = None if phrase is None else phrase.encode()
    return respond(status, reason, JSON_LINE, render_json(value))


def error_response(request: web.Request, error: ServerError) -> web.Response:
    """Return an error in the form of the request's protocol."""
    state = state_of(request)
    if state.translate_error is not None:
        error = state.translate_error(error)
    state.problem = error.message or ""
    if state.error_form is not None:
        headers, body = state.error_form(error)
    else:
        headers, body = error_headers(error), error_body(error)
    state.outlives_error = can_go_on_after(request, error)
    return respond(error.http_status, None, headers, body)


def head_writer(answers: Answers, is_leaving: Callable[[], bool]) -> OnPrepare:
    """Gives answers what all of them have. The connection ends after an error that leaves a rest of its request.

    `is_leaving`: the server stops, so that each answer ends its connection.
    """

    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        state = find_state(request)
        if state is None:
            return
        headers = response.headers
        own = response.get(_OWN)
        for name in _ADDED:
            if own is not None and name not in own:
                headers.popall(name, None)
        if state.filter_headers is not None:
            state.filter_headers(headers)
        lines = b"" if state.answer_lines is None else state.answer_lines(state.id)
        headers.extend(header_pairs(lines + warning_lines(state.warnings)))
        for name, value in answers.cors_headers:
            headers.setdefault(name, value)
        headers["x-request-id"] = state.id.decode("latin-1")
        headers.update(COMMON_HEADERS)
        asked = ",".join(request.headers.getall("Connection", ())).encode("latin-1", "replace")
        is_kept = is_kept_alive(request.version >= (1, 1), asked) and not is_leaving()
        if is_kept and response.status >= 400:
            outlives = state.outlives_error
            is_kept = can_go_on_after(request, None) if outlives is None else outlives
        if not is_kept:
            response.force_close()
        headers.popall("connection", None)
        headers["connection"] = "keep-alive" if response.keep_alive else "close"

    return complete
