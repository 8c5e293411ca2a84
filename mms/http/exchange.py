"""One request and its answer on the aiohttp side."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from mms.core import Request, clients_request_id, new_request_id
from mms.core.request import Buffer
from mms.errors import (
    BadRequest,
    ExpectationFailed,
    PayloadTooLarge,
    RequestTimeout,
    ServerError,
    UnsupportedCoding,
)
from mms.http.answers import (
    BODILESS_STATUSES,
    JSON_LINE,
    AnswerLines,
    Answers,
    ErrorForm,
    error_body,
    error_headers,
    phrase_of,
    render_json,
)
from mms.http.framing import is_kept_alive
from mms.http.lane.connection import LATE_BODY
from mms.http.parameters import Parameters, warning_lines
from mms.http.routing.match import Match
from mms.limits.inflating import CODINGS, SMALL_BYTES, BrokenCoding, Inflater, InflatesTooFar
from mms.limits.memory import Pace, WaitingAccount, read_at_pace
from mms.text.brief import brief

Record: TypeAlias = Callable[[tuple[Any, ...]], None]

#: What is read of a body at a time.
_PART_BYTES = 256 * 1024
#: What aiohttp is to read of a body ahead of its route, in bytes; it may be twice as much, and what one read brings.
READ_AHEAD_BYTES = 64 * 1024
#: What there may be of a body before any of it is read, and later beyond what was read.
_FIRST_BYTES = 64 * 1024
_AHEAD_BYTES = 512 * 1024
#: Bodies below this are joined with their head for one write.
_JOIN_BYTES = 64 * 1024
#: What a client says of a body as it sends it.
_BODY_HEADERS = frozenset((b"content-encoding", b"content-length", b"transfer-encoding"))


class Answer(web.StreamResponse):
    """A finished answer. Its head is the lane's, so that both sides say the same in the same bytes."""

    def __init__(self, status: int, head: bytes, body: Buffer, *, is_kept_alive: bool) -> None:
        super().__init__(status=status)
        self._head = head
        self._rest = body
        self._is_kept_alive = is_kept_alive
        self.size_bytes = len(head) + len(body)
        self._writer: AbstractStreamWriter | None = None

    @property
    def keep_alive(self) -> bool:
        return self._is_kept_alive

    def force_close(self) -> None:
        self._is_kept_alive = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._writer = request.writer
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        writer = self._writer
        if writer is None:
            raise RuntimeError("an answer was sent before it was prepared")
        if len(self._rest) < _JOIN_BYTES:
            await writer.write(b"".join((self._head, self._rest)))
        else:
            await writer.write(self._head)
            await writer.write(self._rest)
        await writer.write_eof()


class Exchange:
    """A request as a route sees it. Makes the response, and the record of it."""

    def __init__(
        self,
        request: web.BaseRequest,
        remote: str,
        answers: Answers,
        record: Record,
        inflater: Inflater,
        *,
        trusts_request_id: bool,
    ) -> None:
        self.request = request
        self.id = (trusts_request_id and _clients_id(request)) or new_request_id()
        self.method = request.method
        self.remote = remote
        self.received_at = time.monotonic()
        #: What the path says to its route, set before the route's handler is called.
        self.match = Match()
        #: For the record: the registered model that was asked.
        self.model = ""
        self.version = ""
        #: The form of answers where it is not MMS's: of errors, and lines besides those of every answer.
        self.error_form: ErrorForm | None = None
        self.answer_lines: AnswerLines | None = None
        #: What stands for an error where clients expect another one.
        self.translate_error: Callable[[ServerError], ServerError] | None = None
        #: What of the call had no effect; the answer says so.
        self.warnings: list[str] = []
        #: Header lines with a key of this server, which no handler is told.
        self.credentials: frozenset[tuple[bytes, bytes]] = frozenset()
        #: Whoever asks may know of the models: there are no keys, or the request has one.
        self.is_trusted = True
        #: Counts what the connection holds in memory.
        self.account: WaitingAccount | None = None
        self._answers = answers
        self._record = record
        self._inflater = inflater
        #: Of a body that came compressed and was unfolded.
        self._unfolded_bytes: int | None = None
        raw = request._message.path
        target = raw.encode("utf-8", "surrogateescape")
        if target[:1] not in (b"/", b"*"):
            # The absolute form: what follows the host is the path.
            _, _, rest = target.partition(b"://")
            target = b"/" + rest.partition(b"/")[2]
        self.path, _, query = target.partition(b"?")
        self.query = query.partition(b"#")[0]
        self.uri = raw
        connection = [value for name, value in request.raw_headers if name.lower() == b"connection"]
        self._is_kept_alive = is_kept_alive(request.version >= (1, 1), b",".join(connection))

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.uri}>"

    # What came in

    def parameters(self) -> Parameters:
        """Query parameters; the first of repeated ones counts. Raises BadRequest for a bad percent-escape."""
        return Parameters.of_query(self.query)

    def content_type(self) -> bytes:
        """The header as sent, or nothing."""
        for name, value in self.request.raw_headers:
            if name.lower() == b"content-type":
                return value
        return b""

    def header_block(self) -> bytes:
        """All headers in the client's spelling, as a request carries them to a handler."""
        pairs = self.request.raw_headers
        if self.credentials:
            pairs = tuple(pair for pair in pairs if pair not in self.credentials)
        if self._unfolded_bytes is not None:
            # As if it had come so.
            size = (b"Content-Length", b"%d" % self._unfolded_bytes)
            pairs = (*(pair for pair in pairs if pair[0].lower() not in _BODY_HEADERS), size)
        return b"\n".join([part for pair in pairs for part in pair])

    def check_head(self, max_body_bytes: int) -> None:
        """Raises BadRequest, PayloadTooLarge, UnsupportedCoding and ExpectationFailed, before the body is read."""
        if self.request.body_exists and self.coding not in (b"", *CODINGS):
            raise UnsupportedCoding(
                f"Content-Encoding: {brief(self.coding.decode('latin-1'))} is not supported; gzip, deflate and "
                "identity are."
            )
        codings = self.request.headers.getall("Transfer-Encoding", [])
        # HTTP/1.0 has none, so that what stands between may have read the message otherwise.
        if codings and (codings[0].lower() != "chunked" or self.request.version < (1, 1)):
            raise BadRequest("Invalid HTTP message.")
        length = self.request.content_length
        if length is not None and length > max_body_bytes:
            raise _too_large(max_body_bytes)
        expect = self.request.headers.get("Expect")
        if expect is not None and expect.strip().lower() != "100-continue":
            raise ExpectationFailed(f"Expect: {expect} is not supported, 100-continue is.")

    @property
    def coding(self) -> bytes:
        """What the body is compressed with: one of CODINGS, nothing, or what the client says beside that."""
        named = self.request.headers.getall("Content-Encoding", [])
        words = [word.strip().lower() for value in named for word in value.split(",")]
        coding = ", ".join(word for word in words if word not in ("", "identity"))
        return b"gzip" if coding == "x-gzip" else coding.encode("latin-1", "replace")

    async def read_body(
        self, max_body_bytes: int, timeout_s: float, check: Callable[[], None] = lambda: None
    ) -> bytes | bytearray:
        """The whole body, unfolded where it is compressed. `timeout_s` is besides what a slow line may take.

        `check` raises where a body is not wanted any more, and is asked before one is unfolded.
        Raises PayloadTooLarge, RequestTimeout, and BadRequest for a body that breaks off, and what `check` raises.
        """
        if not self.request.body_exists:
            return b""
        try:
            body = await self._read_body(max_body_bytes, timeout_s)
        except asyncio.TimeoutError:
            raise RequestTimeout(LATE_BODY) from None
        coding = self.coding
        if not coding or not body:
            return body
        check()
        inflation = self._inflater.open(coding, body, max_body_bytes)
        try:
            if not inflation.advance(SMALL_BYTES):
                await self._inflater.finish(inflation, check)
        except BrokenCoding as error:
            text = f"The body of the request {error}; its Content-Encoding is {coding.decode()}."
            raise BadRequest(text) from None
        except InflatesTooFar as error:
            raise _too_large(error.limit_bytes, is_ratio=error.is_ratio) from None
        self._unfolded_bytes = len(inflation.result)
        if self.account is not None:
            self.account.note(self._unfolded_bytes)
        return inflation.result

    async def _read_body(self, max_body_bytes: int, timeout_s: float) -> bytes | bytearray:
        """Raises TimeoutError of asyncio's, besides what `read_body` raises."""
        request = self.request
        if request.headers.get("Expect") and request.version >= (1, 1):
            transport = request.transport
            if transport is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        account = self.account
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

    # What goes out

    def end_connection(self) -> None:
        """The answer, unless it has been made, says that the connection ends with it."""
        self._is_kept_alive = False

    def respond(
        self,
        status: int,
        phrase: bytes | None,
        headers: bytes,
        body: Buffer,
        *,
        keeps_connection: bool = False,
    ) -> web.StreamResponse:
        """`phrase` None: the usual one. `headers`: finished lines.

        From 400 on the connection ends, unless it is said to be kept.
        """
        is_kept_alive = self._is_kept_alive and (status < 400 or keeps_connection)
        if self.answer_lines is not None:
            headers = self.answer_lines(self.id) + headers
        if self.warnings:
            headers += warning_lines(self.warnings)
        head = self._answers.head(
            self.id,
            status,
            phrase_of(status).encode() if phrase is None else phrase,
            headers,
            len(body),
            is_kept_alive,
            outlives_errors=keeps_connection,
        )
        if self.method == "HEAD" or status in BODILESS_STATUSES:
            body = b""
        version = self.request.version
        self._record(
            (
                time.time(),
                self.remote,
                self.method,
                self.uri,
                f"HTTP/{version.major}.{version.minor}",
                status,
                time.monotonic() - self.received_at,
                self.model,
                self.version,
            )
        )
        return Answer(status, head, body, is_kept_alive=is_kept_alive)

    def json(self, value: Any, status: int = 200, phrase: str | None = None) -> web.StreamResponse:
        """JSON as MMS writes it."""
        reason = None if phrase is None else phrase.encode()
        return self.respond(status, reason, JSON_LINE, render_json(value))

    def error(self, error: ServerError) -> web.StreamResponse:
        """The JSON of an error."""
        if self.translate_error is not None:
            error = self.translate_error(error)
        if self.error_form is not None:
            headers, body = self.error_form(error)
        else:
            headers, body = error_headers(error), error_body(error)
        return self.respond(
            error.http_status,
            None,
            headers,
            body,
            keeps_connection=self._can_go_on_after(error),
        )

    def _can_go_on_after(self, error: ServerError) -> bool:
        """Whether the body is certain to come, with a known end, so that it can be skipped."""
        request = self.request
        has_end = request.content_length is not None or not request.body_exists
        if isinstance(error, PayloadTooLarge):
            # Who asked before sending it may as well go on with the next request.
            return has_end and "Expect" not in request.headers
        return isinstance(error, ExpectationFailed) and has_end


def _clients_id(request: web.BaseRequest) -> bytes:
    value = request.headers.get("x-request-id", "")
    return clients_request_id(value.encode("utf-8", "surrogateescape"))


def _too_large(limit: int, *, is_ratio: bool = False) -> PayloadTooLarge:
    if is_ratio:
        return PayloadTooLarge(
            f"The body of the request decompresses to more than {limit} bytes, which is more than max_request_ratio "
            "for the bytes that it came in."
        )
    return PayloadTooLarge(
        f"The body of the request is larger than max_request_size, {limit} bytes."
    )


class FutureReply:
    """The reply of a request whose edge waits for it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.done: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        if not self.done.done():
            self.done.set_result(self._exchange.respond(status, phrase, headers, body))

    def fail(self, request: Request, error: ServerError) -> None:
        if not self.done.done():
            self.done.set_result(self._exchange.error(error))

    def give_up(self) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the failure of the request could not be told"))
