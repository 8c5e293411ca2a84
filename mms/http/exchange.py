"""One request and its answer on the aiohttp side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from aiohttp import web
from multidict import CIMultiDict

from mms.core import Request, new_request_id
from mms.core.request import Buffer
from mms.errors import (
    BadRequest,
    ExpectationFailed,
    PayloadTooLarge,
    RequestTimeout,
    ServerError,
)
from mms.http.answers import COMMON_HEADERS, JSON_TYPE, error_body, phrase_of, render_json
from mms.http.lane import MIN_BODY_RATE
from mms.http.routes import first_values

Record: TypeAlias = Callable[[tuple[Any, ...]], None]

#: What is read of a body at a time.
_CHUNK_BYTES = 256 * 1024


class PlainResponse(web.Response):
    """A response with the headers that it was given, those of framing, and no others."""

    async def _prepare_headers(self) -> None:
        has_type = "Content-Type" in self._headers
        await super()._prepare_headers()
        for name in ("Server", "Date") if has_type else ("Server", "Date", "Content-Type"):
            self._headers.pop(name, None)


class Exchange:
    """A request as a route sees it. Makes the response, and the record of it."""

    def __init__(
        self,
        request: web.BaseRequest,
        remote: str,
        cors_headers: list[tuple[str, str]],
        record: Record,
    ) -> None:
        self.request = request
        self.id = new_request_id()
        self.method = request.method
        self.remote = remote
        self.received_at = time.monotonic()
        #: For the record: the registered model that was asked.
        self.model = ""
        self.version = ""
        self._cors_headers = cors_headers
        self._record = record
        raw = request._message.path
        target = raw.encode("utf-8", "surrogateescape")
        if target[:1] not in (b"/", b"*"):
            # The absolute form: what follows the host is the path.
            _, _, rest = target.partition(b"://")
            target = b"/" + rest.partition(b"/")[2]
        self.path, _, query = target.partition(b"?")
        self.query = query.partition(b"#")[0]
        self.uri = raw

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.uri}>"

    # What came in

    def parameters(self) -> dict[str, str]:
        """Query parameters; the first of repeated ones counts."""
        return first_values(self.query)

    def content_type(self) -> bytes:
        """The header as sent, or nothing."""
        for name, value in self.request.raw_headers:
            if name.lower() == b"content-type":
                return value
        return b""

    def header_block(self) -> bytes:
        """All headers in the client's spelling, as a request carries them to a handler."""
        return b"\n".join([part for pair in self.request.raw_headers for part in pair])

    def check_head(self, max_body_bytes: int) -> None:
        """Raises PayloadTooLarge and ExpectationFailed, before anything of the body is read."""
        length = self.request.content_length
        if length is not None and length > max_body_bytes:
            raise _too_large(max_body_bytes)
        expect = self.request.headers.get("Expect")
        if expect is not None and expect.strip().lower() != "100-continue":
            raise ExpectationFailed(f"Expect: {expect} is not supported, 100-continue is.")

    async def read_body(self, max_body_bytes: int, timeout_s: float) -> bytes | bytearray:
        """The whole body. `timeout_s` is besides what a slow line may take for its bytes.

        Raises PayloadTooLarge, RequestTimeout, and BadRequest for a body that breaks off.
        """
        if not self.request.body_exists:
            return b""
        length = self.request.content_length
        allowed_s = timeout_s + (max_body_bytes if length is None else length) / MIN_BODY_RATE
        try:
            return await asyncio.wait_for(self._read_body(max_body_bytes), allowed_s)
        except asyncio.TimeoutError:
            raise RequestTimeout("The rest of the request did not come in time.") from None

    async def _read_body(self, max_body_bytes: int) -> bytearray:
        request = self.request
        if request.headers.get("Expect") and request.version >= (1, 1):
            transport = request.transport
            if transport is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunks = bytearray()
        content = request.content
        try:
            while not content.at_eof():
                chunks += await content.read(_CHUNK_BYTES)
                if len(chunks) > max_body_bytes:
                    raise _too_large(max_body_bytes)
        except web.RequestPayloadError as error:
            raise BadRequest(f"The body of the request is broken: {error}") from None
        return chunks

    # What goes out

    def respond(
        self,
        status: int,
        phrase: str | None,
        headers: CIMultiDict[str],
        body: Buffer,
        *,
        keeps_connection: bool = False,
    ) -> web.StreamResponse:
        """`phrase` None: the usual one. From 400 on the connection ends, unless it is said to be kept."""
        headers["x-request-id"] = self.id.decode()
        for name, value in COMMON_HEADERS:
            headers[name] = value
        for name, value in self._cors_headers:
            headers.setdefault(name, value)
        headers["content-length"] = str(len(body))
        is_kept = self.request.keep_alive and (status < 400 or keeps_connection)
        headers["connection"] = "keep-alive" if is_kept else "close"
        response = PlainResponse(
            status=status,
            reason=phrase_of(status) if phrase is None else phrase,
            headers=headers,
            body=bytes(body) if isinstance(body, memoryview) else body,
        )
        if not is_kept:
            response.force_close()
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
        return response

    def json(self, value: Any, status: int = 200, phrase: str | None = None) -> web.StreamResponse:
        """JSON as MMS writes it."""
        headers = CIMultiDict({"content-type": JSON_TYPE})
        return self.respond(status, phrase, headers, render_json(value))

    def error(self, error: ServerError) -> web.StreamResponse:
        """The JSON of an error."""
        headers = CIMultiDict({"content-type": JSON_TYPE})
        if error.retry_after_s is not None:
            headers["retry-after"] = str(error.retry_after_s)
        # A body that was announced as too large can be skipped, and the connection used again.
        is_skippable = isinstance(error, PayloadTooLarge | ExpectationFailed) and (
            self.request.content_length is not None or not self.request.body_exists
        )
        return self.respond(
            error.http_status,
            None,
            headers,
            error_body(error),
            keeps_connection=is_skippable,
        )


def _too_large(limit: int) -> PayloadTooLarge:
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
        fields: CIMultiDict[str] = CIMultiDict()
        for line in headers.split(b"\r\n"):
            if line:
                name, _, value = line.partition(b": ")
                fields.add(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        if not self.done.done():
            self.done.set_result(
                self._exchange.respond(status, phrase.decode("utf-8", "replace"), fields, body)
            )

    def fail(self, request: Request, error: ServerError) -> None:
        if not self.done.done():
            self.done.set_result(self._exchange.error(error))
