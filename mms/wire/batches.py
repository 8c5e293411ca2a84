"""The payloads of BATCH and RESULT frames. Sans-IO.

BATCH: per request, big-endian: request id (36 bytes of text, zeros behind a shorter one), flags (u8), lengths of
content type (u16), query (u32) and headers (u32), time budget in milliseconds (u32, 0: none), length of the body
(u64); then its operation, if the flags say that it has one, content type, query, headers and body, unless the flags say
that the body is attached.

RESULT: count (u32), flags (u8), time in the entry point in nanoseconds (u64); then per item: index in the batch (u32),
flags (u8), status (u16), lengths of phrase (u16), headers (u32) and body (u64); then phrase, headers and body, unless
attached. A batch is answered by one or more RESULT frames; the last one has LAST set. An item that failed has FAILED
set: its phrase is the type name for the error body (empty: the default one) and its body the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any, Protocol, TypeAlias

from mms.wire.frames import (
    ATTACHMENT_BYTES,
    BATCH,
    HEADER,
    RESULT,
    VERSION,
    Buffer,
    ProtocolError,
    encode_attachments,
    is_attachment,
)
from mms.wire.operation import ModelOperation, decode_operation, encode_operation

#: The request's query parameters are given to the handler.
PASSES_QUERY = 1
_ATTACHED = 2
#: Most requests ask for no operation by name, and pay nothing for those that do.
_HAS_OPERATION = 4

#: Of a RESULT frame: the batch is done.
LAST = 1
#: Of a RESULT frame: the entry point returned; else its time is no measure of a batch's cost.
SUCCEEDED = 2
#: Of a RESULT frame: a call with fewer requests than batch_size failed, where one with as many might not have.
#: Behind the items comes one more, of no request; its body is what went wrong, for people who run the model.
UNFILLED = 4

#: Of a RESULT frame: its last 16 bytes are how long it took to read the batch's tensors and to write those of its
#: answers, in nanoseconds (u64 each).
CODED = 8

#: Of a RESULT item: the item failed.
FAILED = 1
#: Of a RESULT item: its answer is a stream, whose number is the body (`mms.wire.streams`).
STREAM = 4

_ITEM = Struct("!36sBHIIIQ")
#: The members of an item one by one, as most of them are the same for many requests.
_ID = Struct("!36s")
_HEAD = Struct("!BHIII")
_BUDGET = Struct("!I")
_BODY_SIZE = Struct("!Q")
_ID_BYTES = _ID.size
_RESULT = Struct("!IBQ")
_RESULT_ITEM = Struct("!IBHHIQ")
_CODING = Struct("!QQ")
_MAX_BUDGET_MS = 0xFFFFFFFF

_Bytes: TypeAlias = bytes | bytearray
Item: TypeAlias = tuple[bytes, int, _Bytes, _Bytes, _Bytes, int, _Bytes, ModelOperation | None]
"""(request id, flags, content type, query, headers, budget in ms, body, operation)"""

ResultItem: TypeAlias = tuple[int, int, int, bytes, bytes, Buffer]
"""(index in the batch, flags, status, phrase or type name, headers, body or message)"""


class RequestHead:
    """What a worker is told of a request besides its id, its time and its body. Requests may share it.

    `headers` is a block of `name LF value LF name LF value`. `operation`: None for MMS's prediction. Never changed, so
    that it is encoded once.
    """

    __slots__ = ("content_type", "encoded", "headers", "operation", "passes_query", "query")

    def __init__(
        self,
        passes_query: bool,
        content_type: bytes,
        query: bytes,
        headers: bytes,
        operation: ModelOperation | None = None,
    ) -> None:
        self.passes_query = passes_query
        self.content_type = content_type
        self.query = query
        self.headers = headers
        self.operation = operation
        #: What `encode` has returned.
        self.encoded: tuple[bytes, bytes, int] | None = None

    def encode(self) -> tuple[bytes, bytes, int]:
        """What stands between an item's id and the length of its body; from there to its body; the item's size without
        its body, in bytes. Raises struct.error where a part is too long."""
        flags = PASSES_QUERY if self.passes_query else 0
        begin = self.content_type
        if self.operation is not None:
            flags |= _HAS_OPERATION
            begin = encode_operation(self.operation) + begin
        block = b"".join((begin, self.query, self.headers))
        sizes = _HEAD.pack(flags, len(self.content_type), len(self.query), len(self.headers), 0)
        self.encoded = encoded = (sizes, block, _ITEM.size + len(block))
        return encoded


class Sendable(Protocol):
    """What a request must have to travel in a batch."""

    id: bytes
    head: RequestHead
    body: Buffer
    deadline: float


class SendableBatch(Protocol):
    """Requests that travel together."""

    sequence: int
    requests: list[Any]


def encode_batches(batches: Iterable[SendableBatch], now: float) -> list[Buffer]:
    """A BATCH frame for each, as buffers for one write. `now` is the clock that deadlines were taken from, in seconds.

    Small bodies are copied once, attachments never. The requests of a batch are each a `Sendable`.
    """
    buffers: list[Buffer] = []
    parts: list[Buffer] = []
    pack_size = _BODY_SIZE.pack
    for batch in batches:
        begin_at = len(parts)
        parts.append(b"")
        length = 0
        attachments: list[Buffer] = []
        for request in batch.requests:
            head = request.head
            sizes, block, head_bytes = head.encoded or head.encode()
            body = request.body
            size = len(body)
            request_id = request.id
            if request.deadline:
                budget_ms = int((request.deadline - now) * 1000)
                # What does not fit is told as the most that does: the front holds the deadline itself.
                budget_ms = 1 if budget_ms < 1 else min(budget_ms, _MAX_BUDGET_MS)
                sizes = sizes[: -_BUDGET.size] + _BUDGET.pack(budget_ms)
            if len(request_id) != _ID_BYTES:
                request_id = _ID.pack(request_id)
            if size >= ATTACHMENT_BYTES and is_attachment(size, len(attachments)):
                attachments.append(body)
                parts += (
                    request_id,
                    bytes((sizes[0] | _ATTACHED,)),
                    sizes[1:],
                    pack_size(size),
                    block,
                )
                length += head_bytes
            else:
                parts += (request_id, sizes, pack_size(size), block, body)
                length += head_bytes + size
        parts[begin_at] = HEADER.pack(VERSION, BATCH, len(attachments), batch.sequence, length)
        if attachments:
            buffers.append(b"".join(parts))
            buffers += encode_attachments(batch.sequence, attachments)
            parts = []
    if parts:
        buffers.append(b"".join(parts))
    return buffers


def decode_batch(
    payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
) -> list[Item]:
    """The items of a BATCH frame. Raises ProtocolError where lengths do not add up."""
    items: list[Item] = []
    unpack = _ITEM.unpack_from
    head = _ITEM.size
    end = len(payload)
    at = 0
    attached = 0
    try:
        while at < end:
            request_id, flags, type_bytes, query_bytes, headers_bytes, budget_ms, body_bytes = (
                unpack(payload, at)
            )
            at += head
            operation = None
            if flags & _HAS_OPERATION:
                operation, at = decode_operation(payload, at)
            query_at = at + type_bytes
            headers_at = query_at + query_bytes
            body_at = headers_at + headers_bytes
            content_type = payload[at:query_at] if type_bytes else b""
            query = payload[query_at:headers_at] if query_bytes else b""
            if flags & _ATTACHED:
                stop = body_at
                body = attachments[attached]
                attached += 1
                if len(body) != body_bytes:
                    raise ProtocolError("an attached body has another length than announced")
            else:
                stop = body_at + body_bytes
                body = payload[body_at:stop]
            if stop > end:
                raise ProtocolError("an item of a batch frame goes beyond its end")
            headers = payload[headers_at:body_at]
            # A client's id may be shorter than the server's own.
            request_id = request_id.rstrip(b"\0")
            items.append(
                (request_id, flags, content_type, query, headers, budget_ms, body, operation)
            )
            at = stop
    except (StructError, IndexError):
        raise ProtocolError("a batch frame ends within an item") from None
    return items


def encode_result(
    sequence: int,
    flags: int,
    entry_point_ns: int,
    items: Iterable[ResultItem],
    count: int,
    coding_ns: tuple[int, int] | None = None,
) -> list[Buffer]:
    """One RESULT frame as buffers for one write. `coding_ns`: what it took to read and to write tensors."""
    if coding_ns is not None:
        flags |= CODED
    return encode_items(RESULT, sequence, flags, entry_point_ns, items, count, coding_ns)


def encode_items(
    kind: int,
    sequence: int,
    flags: int,
    entry_point_ns: int,
    items: Iterable[ResultItem],
    count: int,
    coding_ns: tuple[int, int] | None = None,
) -> list[Buffer]:
    """One frame with items as a RESULT frame has them, as buffers for one write."""
    parts: list[Buffer] = [b"", _RESULT.pack(count, flags, entry_point_ns)]
    length = _RESULT.size
    attachments: list[Buffer] = []
    pack = _RESULT_ITEM.pack
    head_bytes = _RESULT_ITEM.size
    for index, item_flags, status, phrase, headers, body in items:
        size = len(body)
        phrase_bytes = len(phrase)
        headers_bytes = len(headers)
        length += head_bytes + phrase_bytes + headers_bytes
        if size >= ATTACHMENT_BYTES and is_attachment(size, len(attachments)):
            attachments.append(body)
            item_flags |= _ATTACHED
            body = b""
        else:
            length += size
        parts += (
            pack(index, item_flags, status, phrase_bytes, headers_bytes, size),
            phrase,
            headers,
            body,
        )
    if coding_ns is not None:
        parts.append(_CODING.pack(*coding_ns))
        length += _CODING.size
    parts[0] = HEADER.pack(VERSION, kind, len(attachments), sequence, length)
    buffers: list[Buffer] = [b"".join(parts)]
    return buffers + encode_attachments(sequence, attachments) if attachments else buffers


def coding_of(payload: bytes | bytearray) -> tuple[int, int]:
    """How long it took to read and to write tensors, in nanoseconds, of a RESULT frame with CODED set."""
    reading_ns, writing_ns = _CODING.unpack_from(payload, len(payload) - _CODING.size)
    return reading_ns, writing_ns


def decode_result(
    payload: bytes | bytearray,
    attachments: Sequence[bytes | bytearray],
    max_items: int = 0xFFFFFFFF,
) -> tuple[int, int, list[ResultItem]]:
    """(flags, time in the entry point in ns, items) of a RESULT frame.

    Raises ProtocolError where lengths do not add up, or there are more items than `max_items`.
    """
    items: list[ResultItem] = []
    unpack = _RESULT_ITEM.unpack_from
    head = _RESULT_ITEM.size
    end = len(payload)
    attached = 0
    try:
        count, flags, entry_point_ns = _RESULT.unpack_from(payload)
        if count > max_items:
            raise ProtocolError(f"a result frame of {count} items where {max_items} are most")
        at = _RESULT.size
        if flags & CODED:
            end -= _CODING.size
        for _ in range(count):
            index, item_flags, status, phrase_bytes, headers_bytes, body_bytes = unpack(payload, at)
            at += head
            phrase = headers = b""
            body_at = at
            if phrase_bytes:
                body_at = at + phrase_bytes
                phrase = bytes(payload[at:body_at])
            if headers_bytes:
                at = body_at
                body_at = at + headers_bytes
                headers = bytes(payload[at:body_at])
            body: Buffer
            if item_flags & _ATTACHED:
                stop = body_at
                body = attachments[attached]
                attached += 1
                if len(body) != body_bytes:
                    raise ProtocolError("an attached body has another length than announced")
            else:
                stop = body_at + body_bytes
                body = payload[body_at:stop]
            if stop > end:
                raise ProtocolError("an item of a result frame goes beyond its end")
            items.append((index, item_flags, status, phrase, headers, body))
            at = stop
    except (StructError, IndexError):
        raise ProtocolError("a result frame ends within an item") from None
    if at != end:
        raise ProtocolError("a result frame goes on beyond its items")
    return flags, entry_point_ns, items
