"""What this server knows of a request besides what aiohttp knows of it, and how its body is read."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from mms.bodies.inflation import CODINGS, BrokenCoding, InflatesTooFar
from mms.core import clients_request_id, new_request_id
from mms.core.request import RequestTrace
from mms.errors import (
    BadRequest,
    ExpectationFailed,
    HeadersTooLarge,
    PayloadTooLarge,
    RequestTimeout,
    ServerError,
    ServiceUnavailable,
    TargetTooLong,
    UnsupportedCoding,
)
from mms.http.answers import AnswerLines, ErrorForm
from mms.http.parameters import Parameters
from mms.http.request_head import LATE_BODY, check_size
from mms.http.routing import NO_ROUTE, Match
from mms.limits.connections import remote_name
from mms.limits.inflating import SMALL_BYTES, Inflater
from mms.limits.memory import Pace, WaitingAccount, read_at_pace
from mms.text.brief import brief

#: What is read of a body at a time.
_PART_BYTES: Final = 256 * 1024
#: What aiohttp is to read of a body ahead of its route, in bytes; it may be twice as much, and what one read brings.
READ_AHEAD_BYTES: Final = 64 * 1024
#: What there may be of a body before any of it is read, and later beyond what was read.
_FIRST_BYTES: Final = 64 * 1024
_AHEAD_BYTES: Final = 512 * 1024
#: The rest of so large a body is read and thrown away after an error.
_SKIPPED_BYTES = 64 * 1024
#: aiohttp takes requests of HTTP/0.9, too.
_VERSIONS: Final = ((1, 1), (1, 0))
#: What a client says of a body as it sends it.
_BODY_HEADERS: Final = frozenset((b"content-encoding", b"content-length", b"transfer-encoding"))


class RequestState:
    """What this server knows of a request."""

    def __init__(
        self, request: web.Request, inflater: Inflater, *, trusts_request_id: bool
    ) -> None:
        self.id = (trusts_request_id and _clients_id(request)) or new_request_id()
        self.method = request.method
        transport = request.transport
        self.remote = remote_name(transport) if transport is not None else "0.0.0.0"
        self.received_at = time.monotonic()
        #: As the client sent it.
        self.uri = request.raw_path
        target = self.uri.encode("utf-8", "surrogateescape")
        if target[:1] not in (b"/", b"*"):
            # The absolute form: what follows the host is the path.
            _, _, rest = target.partition(b"://")
            target = b"/" + rest.partition(b"/")[2]
        self.path, _, query = target.partition(b"?")
        self.query = query.partition(b"#")[0]
        #: The row of the table of routes, and what the path says to it.
        self.route = NO_ROUTE.route
        self.match = Match()
        #: For the record: the registered model that was asked.
        self.model = ""
        self.version = ""
        self.trace: RequestTrace | None = None
        #: The form of answers where it is not MMS's: of errors, and lines besides those of every answer.
        self.error_form: ErrorForm | None = None
        self.answer_lines: AnswerLines | None = None
        #: Takes from the headers of an answer what is not to be sent.
        self.filter_headers: Callable[[CIMultiDict[str]], None] | None = None
        #: What stands for an error where clients expect another one.
        self.translate_error: Callable[[ServerError], ServerError] | None = None
        #: What of the call had no effect; the answer says so.
        self.warnings: list[str] = []
        #: Header lines with a key of this server, which no handler is told.
        self.credentials: frozenset[tuple[bytes, bytes]] = frozenset()
        #: Whoever asks may know of the models: there are no keys, or the request has one.
        self.is_trusted = True
        #: What the router found wrong with the path.
        self.refusal: Exception | None = None
        #: The message of an error of this server that was answered.
        self.problem = ""
        #: Whether the connection is fit for the next request after an error that is answered; None: no error is.
        self.outlives_error: bool | None = None
        #: Counts what the connection holds in memory.
        self.account: WaitingAccount | None = None
        #: Tells the connection that the head of an answer is written, whose body comes in parts.
        self.begin_answer: Callable[[Callable[[], None] | None], None] = lambda _: None
        #: The head of an answer is written: no other one can be.
        self.is_answering = False
        self.inflater = inflater
        #: Of a body that came compressed and was unfolded.
        self.unfolded_bytes: int | None = None
        request[_STATE] = self

    def __repr__(self) -> str:
        return f"<RequestState {self.method} {self.uri}>"

    def parameters(self) -> Parameters:
        """Query parameters; the first of repeated ones counts. Raises BadRequest for a bad percent-escape."""
        return Parameters.of_query(self.query)


#: Where a request has its state.
_STATE: Final = web.RequestKey("state", RequestState)


def state_of(request: web.BaseRequest) -> RequestState:
    return request[_STATE]


def find_state(request: web.BaseRequest) -> RequestState | None:
    """Return the state of a request; None for what is none that a route could have."""
    return request.get(_STATE)


def _clients_id(request: web.Request) -> bytes:
    value = request.headers.get("x-request-id", "")
    return clients_request_id(value.encode("utf-8", "surrogateescape"))


def content_type_of(request: web.Request) -> bytes:
    """Return the header as sent, or nothing."""
    for name, value in request.raw_headers:
        if name.lower() == b"content-type":
            return value
    return b""


def header_block(request: web.Request) -> bytes:
    """Return all headers in the client's spelling, as a request carries them to a handler."""
    state = state_of(request)
    pairs = request.raw_headers
    if state.credentials:
        pairs = tuple(pair for pair in pairs if pair not in state.credentials)
    if state.unfolded_bytes is not None:
        # As if it had come so.
        size = (b"Content-Length", b"%d" % state.unfolded_bytes)
        pairs = (*(pair for pair in pairs if pair[0].lower() not in _BODY_HEADERS), size)
    return b"\n".join([part for pair in pairs for part in pair])


def check_head(request: web.Request, max_body_bytes: int) -> None:
    """Judge a request before its body is read.

    Raises TargetTooLong, HeadersTooLarge, BadRequest, PayloadTooLarge, UnsupportedCoding and ExpectationFailed.
    """
    line_bytes = len(request.method) + len(state_of(request).uri) + len("  HTTP/1.1")
    check_size(line_bytes, request.raw_headers)
    coding = _coding_of(request)
    if request.body_exists and coding not in (b"", *CODINGS):
        raise UnsupportedCoding(
            f"Content-Encoding: {brief(coding.decode('latin-1'))} is not supported; gzip, deflate and identity are."
        )
    if not _has_certain_end(request):
        raise BadRequest("Invalid HTTP message.")
    length = request.content_length
    if length is not None and length > max_body_bytes:
        raise _too_large(max_body_bytes)
    expect = request.headers.get("Expect")
    if expect is not None and expect.strip().lower() != "100-continue":
        raise ExpectationFailed(f"Expect: {expect} is not supported, 100-continue is.")


def _has_certain_end(request: web.Request) -> bool:
    """Return whether nobody who stands between can have read the message otherwise."""
    codings = request.headers.getall("Transfer-Encoding", [])
    if request.version not in _VERSIONS:
        return False
    # HTTP/1.0 has none.
    return not codings or (codings[0].lower() == "chunked" and request.version >= (1, 1))


def _coding_of(request: web.Request) -> bytes:
    """Return what the body is compressed with: one of CODINGS, nothing, or what the client says beside that."""
    named = request.headers.getall("Content-Encoding", [])
    words = [word.strip().lower() for value in named for word in value.split(",")]
    coding = ", ".join(word for word in words if word not in ("", "identity"))
    return b"gzip" if coding == "x-gzip" else coding.encode("latin-1", "replace")


async def read_body(
    request: web.Request,
    max_body_bytes: int,
    timeout_s: float,
    check: Callable[[], None] = lambda: None,
) -> bytes | bytearray:
    """Return the whole body, unfolded where it is compressed. `timeout_s` is besides what a slow line may take.

    `check` raises where a body is not wanted any more, and is asked before one is unfolded.
    Raises PayloadTooLarge, RequestTimeout, and BadRequest for a body that breaks off, and what `check` raises.
    """
    if not request.body_exists:
        return b""
    state = state_of(request)
    try:
        body = await _read_whole(request, state.account, max_body_bytes, timeout_s)
    except asyncio.TimeoutError:
        raise RequestTimeout(LATE_BODY) from None
    coding = _coding_of(request)
    if not coding or not body:
        return body
    check()
    inflation = state.inflater.open(coding, body, max_body_bytes)
    try:
        if not inflation.advance(SMALL_BYTES):
            await state.inflater.finish(inflation, check)
    except BrokenCoding as error:
        text = f"The body of the request {error}; its Content-Encoding is {coding.decode()}."
        raise BadRequest(text) from None
    except InflatesTooFar as error:
        raise _too_large(error.limit_bytes, is_ratio=error.is_ratio) from None
    state.unfolded_bytes = len(inflation.result)
    if state.account is not None:
        state.account.note(state.unfolded_bytes)
    return inflation.result


async def _read_whole(
    request: web.Request, account: WaitingAccount | None, max_body_bytes: int, timeout_s: float
) -> bytes | bytearray:
    """Raises TimeoutError of asyncio's, besides what `read_body` raises."""
    if request.headers.get("Expect") and request.version >= (1, 1):
        transport = request.transport
        if transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = request.content_length
    content = request.content
    # In parts, so that a large body is not moved again and again as it grows.
    parts: list[bytearray] = []
    part = bytearray()
    size = 0
    pace = Pace()
    try:
        while not content.at_eof():
            if account is not None:
                held = size + _AHEAD_BYTES if size else _FIRST_BYTES
                if length is not None:
                    held = min(held, max(length, size))
                if await account.take(held, timeout_s, request.transport):
                    pace.rest()
            piece = content.read_nowait(_PART_BYTES)
            if not piece:
                read = functools.partial(content.read, _PART_BYTES)
                piece = await read_at_pace(read, account, pace, size, timeout_s)
            size += len(piece)
            if size > max_body_bytes:
                raise _too_large(max_body_bytes)
            part += piece
            if len(part) >= _PART_BYTES:
                parts.append(part)
                part = bytearray()
        broken = content.exception()
        if broken is not None:
            raise broken
    except BaseException as error:
        # What is raised knows this frame, and stays until the next collection of garbage.
        parts.clear()
        part.clear()
        if isinstance(error, web.RequestPayloadError):
            raise BadRequest(f"The body of the request is broken: {error}") from None
        if not isinstance(error, ConnectionError | RuntimeError):
            raise
        if isinstance(error, RuntimeError) and request.transport is not None:
            raise
        # The client has gone, so aiohttp ends this task. It went before the read began where it is a RuntimeError.
        raise asyncio.CancelledError from None
    return b"".join((*parts, part)) if parts else part


def can_go_on_after(request: web.Request, error: ServerError | None) -> bool:
    """Return whether it is certain where the next request begins.

    The head can be read in one way only, and the body has come, or is certain to come, with a known end, so that it can
    be skipped. `error`: None where the answer is not one of this server's own.
    """
    if isinstance(error, TargetTooLong | HeadersTooLarge) or not _has_certain_end(request):
        return False
    length, content = request.content_length, request.content
    is_asked_for = "Expect" in request.headers
    if isinstance(error, PayloadTooLarge):
        # Who asked before sending it may as well go on with the next request.
        return (length is not None or not request.body_exists) and not is_asked_for
    if not request.body_exists or (content.is_eof() and content.exception() is None):
        return True
    if isinstance(error, ExpectationFailed):
        return length is not None
    is_late = isinstance(error, RequestTimeout | ServiceUnavailable)
    return not (length is None or length > _SKIPPED_BYTES or is_asked_for or is_late)


def _too_large(limit: int, *, is_ratio: bool = False) -> PayloadTooLarge:
    if is_ratio:
        return PayloadTooLarge(
            f"The body of the request decompresses to more than {limit} bytes, which is more than max_request_ratio "
            "for the bytes that it came in."
        )
    return PayloadTooLarge(
        f"The body of the request is larger than max_request_size, {limit} bytes."
    )
