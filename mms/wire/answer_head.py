"""What an answer may have before its body: the rules that a worker keeps and the front checks."""

from __future__ import annotations

import re

from mms.wire.frames import ProtocolError

#: Of answers that end a request; HTTP knows none beyond.
MIN_STATUS = 200
MAX_STATUS = 599
#: Set by the front on every answer.
FRONT_OWNED_HEADERS = frozenset(
    {
        "cache-control",
        "connection",
        "content-length",
        "expires",
        "keep-alive",
        "pragma",
        "transfer-encoding",
        "x-request-id",
    }
)
#: Of the finished header lines of one answer; clients and proxies take less.
MAX_HEADERS_BYTES = 64 * 1024
#: RFC 9110, section 5.6.2.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
#: Ends a line or is not for a head at all; a tab is.
_CONTROLS = r"\x00-\x08\x0a-\x1f\x7f"
CONTROL = f"[{_CONTROLS}]"

_CONTROL = re.compile(CONTROL.encode())
_LINES = re.compile(f"(?:{TOKEN}:[^{_CONTROLS}]*\r\n)*".encode())
_NAMES = re.compile(rb"([^:\r\n]+):[^\r]*\r\n")
#: Different heads that are remembered, and their size in bytes; models mostly set the same few.
_MAX_REMEMBERED = 256
_MAX_REMEMBERED_BYTES = 1024
_remembered: set[tuple[bytes, bytes]] = set()


def is_status(status: int) -> bool:
    return MIN_STATUS <= status <= MAX_STATUS


def check_head(status: int, phrase: bytes, headers: bytes) -> None:
    """Raises ProtocolError for what a worker must not have sent as a status, reason phrase or finished header lines."""
    if not is_status(status):
        raise ProtocolError(f"an answer with status {status}")
    head = (phrase, headers)
    if head in _remembered:
        return
    if len(headers) > MAX_HEADERS_BYTES:
        raise ProtocolError(f"an answer with {len(headers)} bytes of headers")
    if _CONTROL.search(phrase):
        raise ProtocolError("an answer whose reason phrase has a control character")
    if not _LINES.fullmatch(headers):
        raise ProtocolError("an answer with an invalid header")
    for name in _NAMES.findall(headers):
        if name.decode("ascii").lower() in FRONT_OWNED_HEADERS:
            raise ProtocolError(f"an answer with the header {name.decode('ascii')}")
    if len(phrase) + len(headers) <= _MAX_REMEMBERED_BYTES:
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered.add(head)
