"""What a handler sets of an answer's head -> bytes that are safe to send."""

from __future__ import annotations

import operator
import re
from typing import Any

from mms.text.brief import brief
from mms.wire.answer_head import (
    CONTROL,
    FRONT_OWNED_HEADERS,
    MAX_HEADERS_BYTES,
    MAX_STATUS,
    MIN_STATUS,
    TOKEN,
    is_status,
)

_MAX_PHRASE_BYTES = 1024
#: Different heads that are remembered; handlers mostly set the same few.
_MAX_REMEMBERED = 256

_TOKEN = re.compile(TOKEN)
_CONTROL = re.compile(CONTROL)

_JSON_TYPE = b"content-type: application/json\r\n"

_remembered: dict[Any, tuple[bytes, bool]] = {}


class InvalidHead(Exception):
    """A status, phrase or header that cannot be sent. The message says which and why."""


def encode_status(status: Any) -> int:
    """Return a status as a number. Raises InvalidHead for what is no final HTTP status."""
    try:
        code = operator.index(status)
    except TypeError:
        raise InvalidHead(f"response status {brief(status)} is not an integer") from None
    if not is_status(code):
        raise InvalidHead(f"response status {code} is not between {MIN_STATUS} and {MAX_STATUS}")
    return code


def encode_phrase(phrase: Any) -> bytes:
    """Return a phrase as a head has it; b"" for None. Line breaks are blanks, and it is cut: some are tracebacks."""
    if phrase is None or phrase == "":
        return b""
    if not isinstance(phrase, str):
        raise InvalidHead(f"reason phrase is not text, but {type(phrase).__name__}")
    return _encode(_CONTROL.sub(" ", phrase))[:_MAX_PHRASE_BYTES]


def reason_phrase(status: int) -> bytes:
    """Return the phrase of a status where nobody chose one; b"" for statuses that HTTP does not know."""
    if status == 200:
        return b"OK"
    # Here, as most workers have no use for it.
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def encode_headers(headers: dict[Any, Any], *, adds_json_type: bool = False) -> bytes:
    """Header lines without those that the front owns; of names that differ in case only, the last one counts.

    `adds_json_type`: unless the handler set a content type. Raises InvalidHead.
    """
    try:
        key = tuple(headers.items())
        known = _remembered.get(key)
    except TypeError:
        # A value that cannot be a key is no text either: the next step says so.
        return _encode_headers(headers)[0]
    if known is None:
        known = _encode_headers(headers)
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[key] = known
    if adds_json_type and not known[1]:
        return known[0] + _JSON_TYPE
    return known[0]


def _encode_headers(headers: dict[Any, Any]) -> tuple[bytes, bool]:
    """Return (lines, whether a content type is among them)."""
    lines: dict[str, bytes] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise InvalidHead(f"response header name {brief(name)} is not an HTTP header name")
        if not isinstance(value, str):
            kind = type(value).__name__
            raise InvalidHead(f"value of response header {name} is not text, but {kind}")
        if _CONTROL.search(value):
            raise InvalidHead(f"value of response header {name} contains a control character")
        lowered = name.lower()
        if lowered not in FRONT_OWNED_HEADERS:
            lines[lowered] = b"%b: %b\r\n" % (name.encode("ascii"), _encode(value.strip()))
    joined = b"".join(lines.values())
    if len(joined) > MAX_HEADERS_BYTES - len(_JSON_TYPE):
        raise InvalidHead(
            f"the response headers have {len(joined)} bytes, the limit is {MAX_HEADERS_BYTES}"
        )
    return joined, "content-type" in lines


def _encode(text: str) -> bytes:
    """Return text of a head in latin-1, as is tradition; else in UTF-8, as browsers and proxies understand it."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
