"""Heads of calls: what their headers say, read once for equal bytes; and the headers of answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from hpack import Decoder, HPACKError

from mms.core.priority_queue import NORMAL
from mms.core.request_options import DEFAULT_OPTIONS, read_request_options
from mms.errors import BadRequest
from mms.text.brief import brief
from mms.text.durations import bounded_s

#: Heads that are remembered for a connection, and how long one may be; clients choose them.
_MAX_HEADS = 256
_MAX_HEAD_BYTES = 2048
#: And all of them together, unfolded: a few bytes may stand for much.
_MAX_HEADS_BYTES = 256 * 1024
#: All headers of a call, as HTTP/2 counts them, in bytes. Clients are told.
MAX_HEADER_LIST_BYTES = 16384

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_CONTROL = re.compile(rb"[\x00-\x20\x7f]")
_PSEUDO = frozenset((b":method", b":path", b":scheme", b":authority"))
_CONNECTION_NAMES = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
#: Matters of the transport, which no model is told.
_OWN_NAMES = frozenset((b"te", b"content-type", b"user-agent"))

#: HPACK: a literal that is not indexed, with a name of its own.
_LITERAL = b"\x00"
#: `:status: 200` as index 8 of the static table, `content-type` as index 31 of it.
ANSWER_HEAD = b"\x88" + b"\x0f\x10" + bytes([16]) + b"application/grpc"


class MalformedHead(Exception):
    """Headers that HTTP/2 does not allow; the stream is reset."""


class NoCall(Exception):
    """A request, but no call of gRPC: answered with a status of HTTP alone."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class CallHead(NamedTuple):
    """What the headers of a call say. `timeout_s` None: no deadline.

    `metadata`: as a request's header block. `first`: the first value of each, by its name in lower case.
    """

    path: bytes
    timeout_s: float | None
    encoding: bytes
    metadata: bytes
    first: Mapping[bytes, bytes]
    #: 0 high, 1 normal, 2 low
    priority: int = NORMAL
    #: why the call cannot be served, whatever it is
    problem: BadRequest | None = None
    #: Whose requests are counted, where their rate is limited.
    client: str = ""

    def without(self, headers: list[bytes]) -> CallHead:
        """Return the same with these headers alone, as `metadata` has them."""
        return self._replace(metadata=b"\n".join(headers), first=_first_values(headers))


class HeadReader:
    """Reads the header blocks of one connection. Owner of its HPACK state."""

    def __init__(self) -> None:
        self._decoder = Decoder(MAX_HEADER_LIST_BYTES)
        #: Blocks that read the same as long as the decoder's table does not change.
        self._heads: dict[bytes, CallHead] = {}
        self._heads_bytes = 0

    def __repr__(self) -> str:
        return f"<HeadReader {len(self._heads)} heads known>"

    def read(self, block: bytes) -> CallHead:
        """Raises HPACKError, after which the connection's state is lost, MalformedHead and NoCall."""
        head = self._heads.get(block)
        if head is not None:
            return head
        pairs, is_repeatable = self._decode(block)
        head = _head_of(pairs)
        if is_repeatable and len(block) <= _MAX_HEAD_BYTES:
            size = len(block) + 2 * len(head.metadata)
            if len(self._heads) >= _MAX_HEADS or self._heads_bytes + size > _MAX_HEADS_BYTES:
                self._forget()
            self._heads[block] = head
            self._heads_bytes += size
        return head

    def skip(self, block: bytes) -> None:
        """Read a block for its effect on later ones alone. Raises HPACKError."""
        if block not in self._heads:
            self._decode(block)

    def _decode(self, block: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
        """The headers, and whether the block left the decoder's table as it was: read again, it says the same."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        count, newest, size = len(entries), entries[0] if entries else None, table.maxsize
        try:
            pairs = [
                (bytes(name), bytes(value)) for name, value in self._decoder.decode(block, True)
            ]
        except (ValueError, IndexError) as error:
            # Not every version of the library has an error of its own for a block that breaks off.
            raise HPACKError(str(error)) from None
        is_repeatable = (
            len(entries) == count
            and (entries[0] if entries else None) is newest
            and table.maxsize == size
        )
        if not is_repeatable:
            self._forget()
        return pairs, is_repeatable

    def _forget(self) -> None:
        self._heads.clear()
        self._heads_bytes = 0


def _head_of(pairs: list[tuple[bytes, bytes]]) -> CallHead:
    pseudo: dict[bytes, bytes] = {}
    content_type = timeout = encoding = b""
    metadata: list[bytes] = []
    for name, value in pairs:
        if b"\n" in value or b"\r" in value or b"\0" in value:
            raise MalformedHead(f"the value of {brief(name)} has a control character")
        if name[:1] == b":":
            if metadata or name not in _PSEUDO or name in pseudo:
                raise MalformedHead(f"pseudo header {brief(name)}")
            pseudo[name] = value
            continue
        if not _NAME.fullmatch(name) or name in _CONNECTION_NAMES:
            raise MalformedHead(f"header {brief(name)}")
        if name == b"content-type":
            content_type = value
        elif name == b"grpc-timeout":
            timeout = value
        elif name == b"grpc-encoding":
            encoding = value
        if name not in _OWN_NAMES and not name.startswith(b"grpc-"):
            metadata += (name, value)
    if _CONTROL.search(pseudo.get(b":path", b"")):
        # It stands in logs as it came.
        raise MalformedHead("a control character in :path")
    if b":path" not in pseudo or b":method" not in pseudo:
        raise MalformedHead("no :path or no :method")
    if pseudo[b":method"] != b"POST":
        raise NoCall(405)
    kind = content_type.lower()
    if kind != b"application/grpc" and not kind.startswith(
        (b"application/grpc+", b"application/grpc;")
    ):
        raise NoCall(415)
    timeout_s = _timeout_s(timeout) if timeout else None
    problem = None
    options = DEFAULT_OPTIONS
    try:
        options = read_request_options(zip(metadata[::2], metadata[1::2], strict=True))
    except BadRequest as error:
        problem = error
    if options.timeout_s:
        timeout_s = options.timeout_s if timeout_s is None else min(timeout_s, options.timeout_s)
    return CallHead(
        pseudo[b":path"],
        timeout_s,
        encoding,
        b"\n".join(metadata),
        _first_values(metadata),
        options.priority,
        problem,
    )


def _first_values(headers: list[bytes]) -> dict[bytes, bytes]:
    # The first of equal names stays.
    return dict(zip(headers[-2::-2], headers[-1::-2], strict=True))


def _timeout_s(text: bytes) -> float:
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise MalformedHead(f"grpc-timeout {brief(text)}")
    return bounded_s(int(match[1]) * _UNIT_S[match[2]])


def literal(name: bytes, value: bytes) -> bytes:
    """Return a header that leaves no trace in the other side's table."""
    return b"".join((_LITERAL, _length(name), name, _length(value), value))


def _length(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return b"%c" % size
    size -= 127
    digits = bytearray(b"\x7f")
    while size >= 128:
        digits.append(size & 127 | 128)
        size >>= 7
    digits.append(size)
    return bytes(digits)


def answer_status(status: int) -> bytes:
    """Return the whole head of an answer that is none of gRPC."""
    return _LITERAL + b"\x07:status" + _length(b"%d" % status) + b"%d" % status
