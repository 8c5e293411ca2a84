"""The forms of streams: chunks as they are, events of server-sent events, lines of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import orjson

from mms.core.request import Buffer
from mms.errors import ServerError

#: How long a stream of events is silent until a comment keeps proxies from ending the connection, in seconds.
KEEP_ALIVE_S: Final = 15.0
KEEP_ALIVE: Final = b": keep-alive\n\n"
_EVENTS: Final = "text/event-stream"
_LINES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")
#: What ends a line of an event (WHATWG HTML, section 9.2.6); nothing else does.
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_LINE_ENDS_TO_SPACES: Final = bytes.maketrans(b"\r\n", b"  ")
_TYPE_LINE: Final = re.compile(rb"(?im)^content-type:[^\r]*\r\n")
_TYPE_OF: Final = re.compile(rb"(?im)^content-type:[ \t]*([^;\r ]*)")
_NO_QUALITY: Final = re.compile(r";\s*q=0(?:\.0*)?\s*(?:;|$)")


def without_type(headers: bytes) -> bytes:
    """Return finished header lines without the content type."""
    return _TYPE_LINE.sub(b"", headers)


class StreamForm:
    """Chunks as the handler gave them."""

    content_type: bytes = b""
    is_events = False

    def headers(self, headers: bytes) -> bytes:
        """Return the finished header lines of the answer, given the handler's."""
        if not self.content_type:
            return headers
        # What stands between is to hand each part on at once.
        own = b"content-type: %b\r\nx-accel-buffering: no\r\n" % self.content_type
        return without_type(headers) + own

    def chunk(self, body: Buffer) -> bytes:
        """Return what is sent of a chunk."""
        return bytes(body)

    def error(self, error: ServerError) -> bytes | None:
        """Return what tells the client that no more comes; None: only the end of its connection does."""
        return None

    def probe(self, *, is_chunked: bool) -> bytes:
        """Return what may be sent between two chunks and says nothing: clients that are gone answer it with a reset."""
        if is_chunked:
            # A leading zero of the next chunk's size, which may have any number of them (RFC 9112, section 7.1).
            return b"0"
        return KEEP_ALIVE if self.is_events else b""

    def end(self, *, is_cut: bool) -> bytes:
        """Return what is sent behind the last chunk of a stream that has not failed. The lane's forms have nothing.

        `is_cut`: its deadline has ended it.
        """
        return b""


class EventForm(StreamForm):
    """An event for each chunk. One named `error`, with code, type and message as JSON, says what went wrong."""

    content_type = b"text/event-stream"
    is_events = True

    def chunk(self, body: Buffer) -> bytes:
        lines = _LINE_END.split(bytes(body).decode("utf-8", "replace").encode())
        return b"data: " + b"\ndata: ".join(lines) + b"\n\n"

    def error(self, error: ServerError) -> bytes:
        told = {
            "code": error.http_status,
            "type": error.type_name,
            "message": error.message or "",
        }
        return b"event: error\n" + self.chunk(json.dumps(told).encode())


class LineForm(StreamForm):
    """A line of JSON for each chunk: one that is JSON as it is, other text as a string."""

    content_type = b"application/x-ndjson"

    def chunk(self, body: Buffer) -> bytes:
        text = bytes(body)
        try:
            orjson.loads(text)
        except ValueError:
            return json.dumps(text.decode("utf-8", "replace")).encode() + b"\n"
        # In JSON, ends of lines stand between values alone; written anew, long numbers would lose digits.
        return text.strip().translate(_LINE_ENDS_TO_SPACES) + b"\n"


_RAW: Final = StreamForm()
_EVENT_FORM: Final = EventForm()
_LINE_FORM: Final = LineForm()


def form_of(accepts: Iterable[bytes], headers: bytes) -> StreamForm:
    """Return the form that a client asks for. `accepts`: the values of its headers `Accept`. `headers`: the handler's.

    A handler that sets the content type of a form itself writes that form itself, too.
    """
    asked = _asked(b",".join(accepts))
    if asked is _RAW:
        return _RAW
    own = _TYPE_OF.search(headers)
    own_type = own.group(1).lower().decode("latin-1") if own is not None else ""
    return _RAW if own_type == _EVENTS or own_type in _LINES else asked


@lru_cache(maxsize=256)
def _asked(accepts: bytes) -> StreamForm:
    if len(accepts) > 1024:
        # Browsers send a tenth of it.
        return _RAW
    for part in accepts.decode("latin-1").lower().split(","):
        media_type, _, rest = part.partition(";")
        if _NO_QUALITY.search(f";{rest}"):
            continue
        if media_type.strip() == _EVENTS:
            return _EVENT_FORM
        if media_type.strip() in _LINES:
            return _LINE_FORM
    return _RAW


def accepts_of(block: bytes) -> list[bytes]:
    """Return the values of the headers `Accept` in a block of `name LF value LF name LF value`."""
    parts = block.split(b"\n")
    return [
        value
        for name, value in zip(parts[::2], parts[1::2], strict=False)
        if len(name) == 6 and name.lower() == b"accept"
    ]


def http_chunk(data: bytes) -> bytes:
    """Return bytes as one chunk of the transfer coding `chunked`; never the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK: Final = b"0\r\n\r\n"
