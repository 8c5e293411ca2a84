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
from typing import Protocol, TypeAlias

from mms.wire.frames import (
    BATCH,
    RESULT,
    Buffer,
    ProtocolError,
    encode_parts,
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

#: Of a RESULT item: the item failed.
FAILED = 1

_ITEM = Struct("!36sBHIIIQ")
_RESULT = Struct("!IBQ")
_RESULT_ITEM = Struct("!IBHHIQ")
_MAX_BUDGET_MS = 0xFFFFFFFF

_Bytes: TypeAlias = bytes | bytearray
Item: TypeAlias = tuple[bytes, int, _Bytes, _Bytes, _Bytes, int, _Bytes, ModelOperation | None]
"""(request id, flags, content type, query, headers, budget in ms, body, operation)"""

ResultItem: TypeAlias = tuple[int, int, int, bytes, bytes, Buffer]
"""(index in the batch, flags, status, phrase or type name, headers, body or message)"""


class Sendable(Protocol):
    """What a request must have to travel in a batch."""

    id: bytes
    passes_query: bool
    content_type: bytes
    query: bytes
    headers: bytes
    body: Buffer
    deadline: float
    operation: ModelOperation | None


def encode_batch(sequence: int, requests: Sequence[Sendable], now: float) -> list[Buffer]:
    """One BATCH frame as buffers for one write. `now` is the clock that the deadlines were taken from, in seconds."""
    parts: list[Buffer] = []
    attachments: list[Buffer] = []
    pack = _ITEM.pack
    for request in requests:
        body = request.body
        content_type = request.content_type
        query = request.query
        headers = request.headers
        size = len(body)
        flags = PASSES_QUERY if request.passes_query else 0
        budget_ms = 0
        if request.deadline:
            budget_ms = int((request.deadline - now) * 1000)
            # What does not fit is told as the most that does: the front holds the deadline itself.
            budget_ms = 1 if budget_ms < 1 else min(budget_ms, _MAX_BUDGET_MS)
        if size and is_attachment(size, len(attachments)):
            attachments.append(body)
            flags |= _ATTACHED
            body = b""
        begin = content_type
        operation = request.operation
        if operation is not None:
            flags |= _HAS_OPERATION
            begin = encode_operation(operation) + content_type
        parts += (
            pack(request.id, flags, len(content_type), len(query), len(headers), budget_ms, size),
            begin,
            query,
            headers,
            body,
        )
    return encode_parts(BATCH, sequence, parts, attachments)


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
    sequence: int, flags: int, entry_point_ns: int, items: Iterable[ResultItem], count: int
) -> list[Buffer]:
    """One RESULT frame as buffers for one write."""
    parts: list[Buffer] = [_RESULT.pack(count, flags, entry_point_ns)]
    attachments: list[Buffer] = []
    pack = _RESULT_ITEM.pack
    for index, item_flags, status, phrase, headers, body in items:
        size = len(body)
        if size and is_attachment(size, len(attachments)):
            attachments.append(body)
            item_flags |= _ATTACHED
            body = b""
        parts += (
            pack(index, item_flags, status, len(phrase), len(headers), size),
            phrase,
            headers,
            body,
        )
    return encode_parts(RESULT, sequence, parts, attachments)


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
