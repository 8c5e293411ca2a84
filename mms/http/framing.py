"""Where the requests of a connection begin and end, for the aiohttp side.

aiohttp's parser takes what comes in one piece, and where some of it is no HTTP, the good requests before that are lost.
So it is given one head, or a part of one body, at a time. It stays the judge of what a head or a chunk may look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

from mms.errors import HeadersTooLarge, ServerError, TargetTooLong

#: MMS's HTTP library takes request lines of this size, and as much of headers, counted without their line ends.
MAX_LINE_BYTES = 4096
MAX_HEADERS_BYTES = 8192
#: Of a head as sent: the shortest headers, `a:`, double with their line ends.
_MAX_HEAD_BYTES = MAX_LINE_BYTES + 2 * MAX_HEADERS_BYTES
#: Extensions of a chunk, and trailers all together; neither is used.
_MAX_CHUNK_LINE_BYTES = 4096
_MAX_TRAILERS_BYTES = 8192
_VERSIONS = (b" HTTP/1.1", b" HTTP/1.0")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n")
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_CONNECTION = re.compile(rb"\r\nconnection:([^\r]*)")
_CHUNK_SIZE = re.compile(rb"0*([0-9A-Fa-f]{1,16})(;.*)?", re.DOTALL)
#: 64-bit numbers are what parsers take, 19 digits always fit.
_MAX_LENGTH_DIGITS = 19


class Part(Enum):
    """What a piece is of. `NO_HTTP`: an unfit head. `BROKEN`: of a body that cannot go on."""

    HEAD = 1
    BODY = 2
    NO_HTTP = 3
    BROKEN = 4


def is_kept_alive(is_http_1_1: bool, connection: bytes) -> bool:
    """Whether a client lets its connection live on. `connection`: the values of that header, with commas between."""
    words = [word.strip() for word in connection.lower().split(b",")]
    if b"close" in words:
        return False
    return is_http_1_1 or b"keep-alive" in words


class Framing:
    """Cuts a stream of bytes. Holds back the begin of a head until all of it has come."""

    def __init__(self) -> None:
        self._head = b""
        #: Bytes that are left of a body with a length.
        self._left = 0
        self._chunks: _Chunks | None = None
        self._is_last = False
        #: Nothing more is read of this connection.
        self.is_over = False

    def __repr__(self) -> str:
        return f"<Framing {'in a body' if self.is_in_body else 'between bodies'}>"

    @property
    def is_in_body(self) -> bool:
        return self._left > 0 or self._chunks is not None

    @property
    def has_begun_head(self) -> bool:
        return bool(self._head)

    def cut(self, data: bytes) -> Iterator[tuple[Part, bytes, int]]:
        """(part, its bytes, where what follows it begins in `data`).

        Stop between two of them to keep the rest: what was held back is in the position.
        """
        position = 0
        size = len(data)
        while position < size and not self.is_over:
            if self._left:
                end = min(size, position + self._left)
                self._left -= end - position
                piece = data[position:end]
                position = end
                if not self._left:
                    self.is_over = self._is_last
                yield Part.BODY, piece, position
            elif self._chunks is not None:
                body_end = self._chunks.find_end(data, position)
                if body_end is None:
                    self.is_over = True
                    yield Part.BROKEN, data[position:], size
                    return
                piece = data[position:body_end]
                position = body_end
                if self._chunks.is_complete:
                    self._chunks = None
                    self.is_over = self._is_last
                yield Part.BODY, piece, position
            else:
                held = len(self._head)
                whole = self._head + data[position:] if held else data[position:]
                # Empty lines before a request are taken, as RFC 9112 wants it.
                begun = whole
                if begun.startswith(b"\r\n"):
                    begun = _EMPTY_LINES.sub(b"", begun, 1)
                    held -= len(whole) - len(begun)
                end = begun.find(b"\r\n\r\n") + 4
                if end < 4:
                    self._head = begun
                    position = size
                    if is_unfit(begun):
                        self.is_over = True
                        yield Part.NO_HTTP, begun, size
                    return
                self._head = b""
                position += end - held
                head = begun[:end]
                if (
                    not _is_capital(head[0])
                    or not head.endswith(_VERSIONS, 0, head.find(b"\r\n"))
                    or oversize(head) is not None
                ):
                    self.is_over = True
                    yield Part.NO_HTTP, head, size
                    return
                self._begin_body(head)
                yield Part.HEAD, head, position

    def _begin_body(self, head: bytes) -> None:
        lowered = head.lower()
        line = lowered[: lowered.find(b"\r\n")]
        connection = b",".join(_CONNECTION.findall(lowered))
        self._is_last = not is_kept_alive(line.endswith(b" http/1.1"), connection)
        if b"\r\ntransfer-encoding:" in lowered:
            self._chunks = _Chunks()
            return
        found = _LENGTH.search(lowered)
        if found is not None:
            digits = found[1].lstrip(b"0")
            # A longer one is refused by the parser.
            self._left = int(digits or b"0") if len(digits) <= _MAX_LENGTH_DIGITS else 0
        if not self._left:
            self.is_over = self._is_last


def _is_capital(byte: int) -> bool:
    """Whether a method can begin with it; llhttp leaves out what else stands before one."""
    return 0x41 <= byte <= 0x5A


def oversize(begun: bytes) -> ServerError | None:
    """The error for the begin of a head, or all of it, that is longer than what is read of one."""
    if len(begun) <= MAX_LINE_BYTES:
        return None
    line_end = begun.find(b"\r\n")
    if (len(begun) if line_end < 0 else line_end) > MAX_LINE_BYTES:
        return TargetTooLong(f"The request line is longer than {MAX_LINE_BYTES} bytes.")
    size = 0
    for line in begun[line_end + 2 :].removesuffix(b"\r\n\r\n").split(b"\r\n"):
        name, _, value = line.partition(b":")
        size += len(name) + len(value.strip()) + 2
    if size > MAX_HEADERS_BYTES or len(begun) > _MAX_HEAD_BYTES:
        return HeadersTooLarge(
            f"The headers of the request are larger than {MAX_HEADERS_BYTES} bytes."
        )
    return None


def is_unfit(begun: bytes) -> bool:
    """Whether the begin of a head can become none."""
    if not begun or begun == b"\r":
        return False
    line_end = begun.find(b"\r\n")
    return (
        not _is_capital(begun[0])
        or (len(begun) if line_end < 0 else line_end) > MAX_LINE_BYTES
        or len(begun) > _MAX_HEAD_BYTES
        or len(begun) - begun.rfind(b"\r\n") > MAX_HEADERS_BYTES
        or begun.count(b"\n") != begun.count(b"\r\n")
    )


class _Chunks:
    """Follows a chunked body to its end."""

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self._is_after_data = False
        self._trailers_bytes = -1
        self.is_complete = False

    def find_end(self, data: bytes, position: int) -> int | None:
        """Where the body ends in `data`, or `data`; None if it is no chunked body."""
        size = len(data)
        while position < size:
            if self._left:
                taken = min(self._left, size - position)
                self._left -= taken
                position += taken
                continue
            line_end = data.find(b"\n", position)
            stop = size if line_end < 0 else line_end + 1
            self._line += data[position:stop]
            position = stop
            if len(self._line) > _MAX_CHUNK_LINE_BYTES:
                return None
            if line_end < 0:
                return size
            line, self._line = self._line, b""
            if not line.endswith(b"\r\n") or not self._take_line(line[:-2]):
                return None
            if self.is_complete:
                return position
        return size

    def _take_line(self, line: bytes) -> bool:
        """False for a line that has no place there."""
        if self._is_after_data:
            self._is_after_data = False
            return not line
        if self._trailers_bytes >= 0:
            self._trailers_bytes += len(line)
            self.is_complete = not line
            return self._trailers_bytes <= _MAX_TRAILERS_BYTES
        matched = _CHUNK_SIZE.fullmatch(line)
        if matched is None:
            return False
        self._left = int(matched[1], 16)
        if self._left:
            self._is_after_data = True
        else:
            self._trailers_bytes = 0
        return True
