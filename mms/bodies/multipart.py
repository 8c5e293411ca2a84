"""Multipart forms (RFC 7578), found by their boundary alone, without copying what is between."""

from __future__ import annotations

import re
from typing import NamedTuple

from mms.bodies.charset import UTF_8, charset_of
from mms.bodies.invalid_input import InvalidInput
from mms.text.brief import brief

MAX_PARTS = 10_000
#: Of one part.
MAX_HEADER_BYTES = 16 * 1024

_CR = 13

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.DOTALL)
_QUOTED_PAIR = re.compile(r'\\(["\\])')


class Part(NamedTuple):
    """One part: its value is `body[start:end]`. `content_type` is without parameters; "" for a field."""

    name: str
    content_type: str
    charset: str
    is_file: bool
    start: int
    end: int


def find_boundary(content_type: str) -> bytes | None:
    """The boundary that a Content-Type header names; None if it names none. Raises InvalidInput for an empty one."""
    for match in _PARAMETER.finditer(content_type):
        if match[1].lower() == "boundary":
            boundary = match[2] if match[2] is not None else match[3].strip()
            if not boundary:
                raise InvalidInput("the boundary in Content-Type: multipart/form-data is empty")
            return boundary.encode("latin-1", "replace")
    return None


def find_parts(body: bytes | bytearray, boundary: bytes) -> list[Part]:
    """Return the parts of a body, in order; none where the boundary never occurs. Raises InvalidInput."""
    delimiter = b"--" + boundary
    parts: list[Part] = []
    at = 0 if _is_delimiter(body, 0, delimiter) else _find_delimiter(body, 0, delimiter)
    while at >= 0:
        after = at + len(delimiter)
        if body[after : after + 2] == b"--":
            return parts
        line_end = body.find(b"\n", after)
        if line_end < 0 or line_end + 1 == len(body):
            # A last delimiter without its two dashes, as some clients write it.
            return parts
        number = len(parts) + 1
        if number > MAX_PARTS:
            raise InvalidInput(f"the multipart body has more than {MAX_PARTS} parts")
        headers_end, start = _find_blank_line(body, line_end, number)
        name, content_type, charset, is_file = _parse_headers(
            body[line_end + 1 : headers_end], number
        )
        # The line break before the delimiter belongs to it, and may be the one of the blank line.
        at = _find_delimiter(body, start - 1, delimiter)
        if at < 0:
            raise InvalidInput(
                f"the multipart body ends within part {brief(name)}: no boundary after it"
            )
        end = at - 1
        if end > start and body[end - 1] == _CR:
            end -= 1
        parts.append(Part(name, content_type, charset, is_file, start, max(start, end)))
    return parts


def _is_delimiter(body: bytes | bytearray, at: int, delimiter: bytes) -> bool:
    """Return whether a line of a delimiter begins here; the boundary may also be the beginning of other text."""
    if not body.startswith(delimiter, at):
        return False
    after = at + len(delimiter)
    if body.startswith((b"\r\n", b"\n", b"--"), after):
        return True
    rest = bytes(body[after : after + 256]).lstrip(b" \t")
    return not rest or rest.startswith((b"\r\n", b"\n"))


def _find_delimiter(body: bytes | bytearray, start: int, delimiter: bytes) -> int:
    """Return where the next delimiter begins that follows a line break at `start` or later; -1 if there is none."""
    after_break = b"\n" + delimiter
    found = body.find(after_break, start)
    while found >= 0:
        if _is_delimiter(body, found + 1, delimiter):
            return found + 1
        found = body.find(after_break, found + 1)
    return -1


def _find_blank_line(body: bytes | bytearray, line_end: int, number: int) -> tuple[int, int]:
    """(end of the headers, start of the value) of a part whose delimiter's line ends at `line_end`."""
    limit = line_end + MAX_HEADER_BYTES
    found = [
        (at, at + len(blank))
        for blank in (b"\n\r\n", b"\n\n")
        if (at := body.find(blank, line_end, limit)) >= 0
    ]
    if found:
        return min(found)
    if limit < len(body):
        raise InvalidInput(
            f"the headers of part {number} of the multipart body are over {MAX_HEADER_BYTES} bytes"
        )
    raise InvalidInput(f"the multipart body ends within the headers of part {number}")


def _parse_headers(block: bytes | bytearray, number: int) -> tuple[str, str, str, bool]:
    """(name, content type, charset, whether it is a file) of a part."""
    disposition = ""
    content_type: str | None = None
    charset = UTF_8
    for line in str(block, "utf-8", "replace").split("\n"):
        key, _, value = line.partition(":")
        match key.strip().lower():
            case "content-disposition":
                disposition = value
            case "content-type":
                content_type = value.partition(";")[0].strip()
                charset = charset_of(value)
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(disposition):
        if found[2] is not None:
            value = _QUOTED_PAIR.sub(r"\1", found[2])
        else:
            value = found[3].strip()
        parameters.setdefault(found[1].lower(), value)
    name = parameters.get("name", "")
    if not name:
        raise InvalidInput(
            f"part {number} of the multipart body has no name (Content-Disposition: form-data; name=...)"
        )
    is_file = "filename" in parameters or "filename*" in parameters
    if not is_file:
        return name, "", UTF_8, False
    if content_type is None:
        content_type = "application/octet-stream"
    return name, content_type, charset, True
