"""The form of answers, shared by the lane and the aiohttp side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, TypeAlias

from mms.core.request import Buffer
from mms.errors import MethodNotAllowed, ServerError, Unauthorized, UnsupportedCoding
from mms.text.brief import brief

#: Writes (finished header lines, body) of an error where clients expect another form than MMS's.
ErrorForm: TypeAlias = Callable[[ServerError], tuple[bytes, bytes]]
#: Writes the header lines, besides MMS's, of every answer to requests of one head, given a request's id.
AnswerLines: TypeAlias = Callable[[bytes], bytes]

#: What every answer of MMS carries.
COMMON_HEADERS = (
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache; no-store, must-revalidate, private"),
    ("Expires", "Thu, 01 Jan 1970 00:00:00 UTC"),
)
JSON_LINE = b"content-type: application/json\r\n"

#: Gson writes these so that JSON can stand in a page; byte-comparing clients know that form.
_HTML_SAFE = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "=": "\\u003d",
        "'": "\\u0027",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)
_KEPT = b"\r\nconnection: keep-alive\r\n\r\n"
_CLOSED = b"\r\nconnection: close\r\n\r\n"
#: RFC 6750, section 3.
_CHALLENGE = b'www-authenticate: Bearer realm="multi-model-server"\r\n'
#: RFC 9110, section 12.5.3.
_READABLE = b"accept-encoding: gzip, deflate\r\n"
_MAX_STARTS = 256
_MAX_ENDS = 4096
#: Answers of these end with their head, whatever a handler returned: no client reads a body behind it
#: (RFC 9112, section 6.3).
BODILESS_STATUSES = frozenset((204, 205, 304))
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
#: The family names of codes that HTTP does not define, as MMS's HTTP library words them.
_FAMILIES = {
    1: "Informational",
    2: "Success",
    3: "Redirection",
    4: "Client Error",
    5: "Server Error",
}


def render_json(value: Any) -> bytes:
    """JSON as MMS writes it: two spaces, no members that are None, characters of HTML escaped, one LF at the end."""
    text = json.dumps(_without_none(value), indent=2, ensure_ascii=False)
    return text.translate(_HTML_SAFE).encode("utf-8", "backslashreplace") + b"\n"


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(v) for v in value]
    return value


def error_body(error: ServerError) -> bytes:
    """`{"code", "type", "message", "reason"}`; the last two are left out where there is none."""
    return render_json(
        {
            "code": error.http_status,
            "type": error.type_name,
            "message": error.message,
            "reason": error.shown_reason,
        }
    )


def error_headers(error: ServerError) -> bytes:
    """Return the lines of an error's answer besides those of every answer."""
    return JSON_LINE + matter_lines(error)


def message_form(error: ServerError) -> tuple[bytes, bytes]:
    """Return (header lines, body) of an error where clients expect `{"error": message}`."""
    text = error.message or phrase_of(error.http_status)
    body = json.dumps({"error": text}, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return error_headers(error), body


def matter_lines(error: ServerError) -> bytes:
    """Return what an error's answer has to say in headers, whatever its form.

    When to try again, how to show a key, how to send a body, which methods there are.
    """
    if isinstance(error, UnsupportedCoding):
        return _READABLE
    if isinstance(error, MethodNotAllowed):
        return f"allow: {error.allowed}\r\n".encode() if error.allowed else b""
    if error.retry_after_s is not None:
        return b"retry-after: %d\r\n" % error.retry_after_s
    return _CHALLENGE if isinstance(error, Unauthorized) else b""


#: RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Set on every answer, whoever makes it.
_OWNED = frozenset(
    {
        *(name.lower() for name, _ in COMMON_HEADERS),
        *("connection", "content-length", "keep-alive", "transfer-encoding", "x-request-id"),
    }
)


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Finished lines of headers that code beside this server has set, without those that every answer has.

    Raises ValueError for what would break the answer apart.
    """
    lines = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"response header name {brief(name)} is not an HTTP header name")
        if _CONTROL.search(value):
            raise ValueError(f"value of response header {name} contains a control character")
        if name.lower() not in _OWNED:
            lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("utf-8", "replace")


def safe_phrase(phrase: str) -> bytes:
    """Return a reason phrase that code beside this server has set, without what would break the answer apart."""
    return _CONTROL.sub(" ", phrase).encode("utf-8", "replace")


def phrase_of(status: int) -> str:
    """Return the reason phrase of a status; codes that HTTP does not know get their family's."""
    phrase = _PHRASES.get(status)
    if phrase is None:
        phrase = f"{_FAMILIES.get(status // 100, 'Unknown Status')} ({status})"
    return phrase


class Answers:
    """Writes the heads of answers."""

    def __init__(self, cors_headers: list[tuple[str, str]]) -> None:
        """`cors_headers`: set on every answer whose handler did not set them."""
        self.cors_headers = tuple(cors_headers)
        common = "".join(f"{name}: {value}\r\n" for name, value in COMMON_HEADERS)
        self._common = b"\r\n" + common.encode("latin-1")
        #: The status lines met so far, up to the request id. Handlers choose phrases, so there must be a limit.
        self._starts: dict[tuple[int, bytes], bytes] = {}
        self._good_starts: dict[bytes, bytes] = {}
        #: The ends of the heads of kept connections, by the size of the body.
        self._ends: dict[int, bytes] = {}
        self._cors = [
            (name.lower().encode() + b":", f"{name}: {value}\r\n".encode("latin-1", "replace"))
            for name, value in cors_headers
        ]
        self._all_cors = b"".join(line for _, line in self._cors)

    def __repr__(self) -> str:
        return f"<Answers with {len(self._cors)} CORS headers>"

    def head(
        self,
        request_id: bytes,
        status: int,
        phrase: bytes,
        headers: bytes,
        body_bytes: int,
        is_kept_alive: bool,
    ) -> bytes:
        """From the status line to the empty line. `headers`: finished lines.

        `body_bytes`: of the handler's body, which is not sent with one of BODILESS_STATUSES.
        """
        if self._cors:
            headers += self._missing_cors(headers)
        start = self._start(status, phrase)
        end = _KEPT if is_kept_alive else _CLOSED
        if status == 204:
            return b"".join((start, request_id, self._common, headers, end[2:]))
        if status == 205:
            body_bytes = 0
        length = b"content-length: %d" % body_bytes
        return b"".join((start, request_id, self._common, headers, length, end))

    def stream_head(
        self,
        request_id: bytes,
        status: int,
        phrase: bytes,
        headers: bytes,
        *,
        is_chunked: bool,
        is_kept_alive: bool,
    ) -> bytes:
        """As `head`, of an answer whose length nobody knows: its body is chunked, or ends with the connection."""
        if self._cors:
            headers += self._missing_cors(headers)
        start = self._start(status, phrase)
        coding = b"transfer-encoding: chunked" if is_chunked else b""
        end = _KEPT if is_kept_alive else _CLOSED
        return b"".join(
            (start, request_id, self._common, headers, coding, end if coding else end[2:])
        )

    def whole(self, request_id: bytes, phrase: bytes, headers: bytes, body: Buffer) -> bytes:
        """Head and body of an answer of status 200 on a connection that is kept, with `head`'s meaning, in one copy."""
        if self._cors:
            headers += self._missing_cors(headers)
        start = self._good_starts.get(phrase)
        if start is None:
            start = self._start(200, phrase)
            if len(self._good_starts) < _MAX_STARTS:
                self._good_starts[phrase] = start
        size = len(body)
        end = self._ends.get(size)
        if end is None:
            end = b"content-length: %d" % size + _KEPT
            if len(self._ends) < _MAX_ENDS:
                self._ends[size] = end
        return b"".join((start, request_id, self._common, headers, end, body))

    def _start(self, status: int, phrase: bytes) -> bytes:
        start = self._starts.get((status, phrase))
        if start is None:
            start = b"HTTP/1.1 %d %b\r\nx-request-id: " % (status, phrase)
            if len(self._starts) < _MAX_STARTS:
                self._starts[status, phrase] = start
        return start

    def error(
        self,
        request_id: bytes,
        error: ServerError,
        is_kept_alive: bool,
        form: ErrorForm | None = None,
        lines: bytes = b"",
    ) -> tuple[bytes, bytes]:
        """(head, body) of an error: MMS's JSON, unless a `form` writes (header lines, body) itself.

        `lines`: more header lines.
        """
        if form is not None:
            headers, body = form(error)
        else:
            headers, body = error_headers(error), error_body(error)
        headers = lines + headers
        status = error.http_status
        phrase = phrase_of(status).encode()
        return self.head(request_id, status, phrase, headers, len(body), is_kept_alive), body

    def _missing_cors(self, headers: bytes) -> bytes:
        if b"access-control-allow-" not in headers.lower():
            return self._all_cors
        lines = headers.lower().split(b"\r\n")
        return b"".join(
            line
            for name, line in self._cors
            if not any(existing.startswith(name) for existing in lines)
        )
