"""Requests as they came in -> `data` for the handler. A request that cannot be decoded fails alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mms.bodies.charset import UTF_8, charset_of, decode
from mms.bodies.invalid_input import InvalidInput
from mms.text.brief import brief
from mms.wire import FAILED, PASSES_QUERY, Item, ResultItem
from mms.worker.log_records.log_lines import write_log

if TYPE_CHECKING:
    from mms.wire import ModelOperation
    from mms.worker.tensors.items import TensorItem
    from mms.worker.tensors.plain import PlainTensors

_BINARY = 0
_JSON = 1
_TEXT = 2
_FORM = 3
_MULTIPART = 4

#: Clients send a handful of content types; a hostile one must not fill the memory.
_MAX_REMEMBERED = 256
#: The first part of this size in a form is not copied out of the body: the body is cut down to it.
_LARGE_BYTES = 64 * 1024

_BAD_REQUEST = b"BadRequestException"

#: Editors and .NET put it before UTF-8; no parser need read it (RFC 8259, section 8.1).
_BYTE_ORDER_MARK = "\ufeff"
#: Of what is wrong with a request, in a line of the log.
_MAX_SHOWN_CHARS = 300
_parse_json = json.JSONDecoder().decode


class DecodedBatch(NamedTuple):
    """What became of a batch. The lists are parallel, one member per request that could be decoded.

    `types`: the content type of the one parameter `body`, or those of all parameters by name. `indices`: places in the
    batch as it came. `failures`: results for the other requests. `tensors`: by their places in `data`, the requests
    that came by a protocol of tensors; None: none did.
    """

    data: list[dict[str, object]]
    ids: list[bytes]
    types: list[str | dict[str, str]]
    blocks: list[bytes | bytearray]
    indices: Sequence[int]
    failures: list[ResultItem]
    tensors: dict[int, TensorItem] | None = None


class RequestDecoder:
    """Decodes by content type; with `decodes` off, every body and part is handed over as bytes."""

    def __init__(
        self,
        decodes: bool,
        tensors: Callable[[], PlainTensors] | None = None,
        *,
        keeps_undecodable: bool = False,
        headers_of: Callable[[ModelOperation], bytes] | None = None,
    ) -> None:
        """`tensors`: returns what reads requests of a protocol of tensors. The rest: members of `RequestRules`."""
        self._decodes = decodes
        self._open_tensors = tensors
        self._keeps_undecodable = keeps_undecodable
        self._headers_of = headers_of
        self._kinds: dict[bytes, tuple[int, str, str]] = {}

    def decode_batch(self, items: list[Item], given_up: Collection[bytes] = ()) -> DecodedBatch:
        """Decode a batch. `given_up`: ids of requests that nobody waits for any more; they fail."""
        data: list[dict[str, object]] = []
        ids: list[bytes] = []
        types: list[str | dict[str, str]] = []
        blocks: list[bytes | bytearray] = []
        indices: Sequence[int] = range(len(items))
        failures: list[ResultItem] = []
        tensors: dict[int, TensorItem] | None = None
        kinds = self._kinds
        for index, item in enumerate(items):
            request_id, flags, content_type, query, block, _, body, operation = item
            if given_up and request_id in given_up:
                failures.append((index, FAILED, 408, b"", b"", b"Nobody waits for this request."))
                continue
            if type(content_type) is not bytes:
                content_type = bytes(content_type)
            if operation is not None and operation.protocol and self._open_tensors is not None:
                reader = self._open_tensors()
                try:
                    found = reader.items.read(item)
                except Exception as error:
                    failures.append(reader.items.failure(index, error))
                    continue
                if tensors is None:
                    tensors = {}
                tensors[len(data)] = found
                data.append(reader.data_of(found.request))
                types.append(str(content_type, "latin-1").partition(";")[0])
                ids.append(request_id)
                blocks.append(block)
                continue
            if operation is not None and self._headers_of is not None:
                block = _joined(block, self._headers_of(operation))
            known = kinds.get(content_type) or self._learn(content_type)
            kind, media_type, charset = known
            if kind == _BINARY and not (query and flags & PASSES_QUERY):
                data.append({"body": body if type(body) is bytearray else bytearray(body)})
                types.append(media_type)
            else:
                try:
                    given = query if flags & PASSES_QUERY else b""
                    parameters, its_types = self._decode(
                        kind, media_type, charset, content_type, given, body
                    )
                except Exception as error:
                    failures.append(_failure(index, error))
                    continue
                data.append(parameters)
                types.append(its_types)
            ids.append(request_id)
            blocks.append(block)
        if failures:
            failed = {failure[0] for failure in failures}
            indices = [index for index in indices if index not in failed]
        return DecodedBatch(data, ids, types, blocks, indices, failures, tensors)

    def _learn(self, content_type: bytes) -> tuple[int, str, str]:
        """Return (kind, media type, charset)"""
        text = str(content_type, "latin-1")
        media_type = text.partition(";")[0]
        if media_type.strip().lower() == "multipart/form-data":
            # Not remembered: each has a boundary of its own.
            return _MULTIPART, media_type, UTF_8
        if media_type.lower() == "application/x-www-form-urlencoded":
            kind = _FORM
        else:
            kind = self._kind(media_type)
        if len(self._kinds) >= _MAX_REMEMBERED:
            self._kinds.clear()
        charset = UTF_8
        if kind in (_JSON, _TEXT) and not self._keeps_undecodable:
            charset = charset_of(text)
        self._kinds[content_type] = kind, media_type, charset
        return kind, media_type, charset

    def _kind(self, media_type: str) -> int:
        """Return the kind of a body or a part with a file name. Letter case matters, as it does in MMS."""
        if not self._decodes:
            return _BINARY
        if media_type == "application/json":
            return _JSON
        return _TEXT if media_type.startswith("text") else _BINARY

    def _decode(
        self,
        kind: int,
        media_type: str,
        charset: str,
        content_type: bytes,
        query: bytes | bytearray,
        body: bytes | bytearray,
    ) -> tuple[dict[str, object], str | dict[str, str]]:
        """Return (parameters, their content types) of one request. Raises InvalidInput."""
        parameters: dict[str, object] = {}
        if query:
            from mms.worker.requests.form_fields import parse_query

            parameters.update(parse_query(query))
        if kind == _FORM:
            from mms.worker.requests.form_fields import parse_form

            parameters.update(parse_form(body))
            return parameters, dict.fromkeys(parameters, "")
        types = dict.fromkeys(parameters, "")
        if kind == _MULTIPART:
            from mms.bodies.multipart import find_boundary

            boundary = find_boundary(str(content_type, "latin-1"))
            if boundary is not None:
                self._decode_parts(body, boundary, parameters, types)
                return parameters, types
            kind = _BINARY
        parameters["body"] = self._value(kind, body, media_type, charset, "the body")
        if not query:
            return parameters, media_type
        types["body"] = media_type
        return parameters, types

    def _value(
        self,
        kind: int,
        content: bytes | bytearray | memoryview,
        media_type: str,
        charset: str,
        where: str,
    ) -> object:
        """Return a body or a part as its content type says. Raises InvalidInput, unless it is kept as it is."""
        reads_marks = not self._keeps_undecodable
        try:
            return _value(kind, content, media_type, charset, where, reads_marks=reads_marks)
        except InvalidInput as error:
            if not self._keeps_undecodable:
                raise
            write_log(f"A request is handed over undecoded: {str(error)[:_MAX_SHOWN_CHARS]}\n")
            return _value(_BINARY, content, media_type, charset, where)

    def _decode_parts(
        self,
        body: bytes | bytearray,
        boundary: bytes,
        parameters: dict[str, object],
        types: dict[str, str],
    ) -> None:
        from mms.bodies.multipart import find_parts

        # Of equal names the last one counts.
        parts = {part.name: part for part in find_parts(body, boundary)}
        kept = None
        with memoryview(body) as view:
            for name, part in parts.items():
                types[name] = part.content_type
                kind = self._kind(part.content_type) if part.is_file else _BINARY
                is_large = kind == _BINARY and part.end - part.start >= _LARGE_BYTES
                if is_large and kept is None and type(body) is bytearray:
                    kept = part
                    parameters[name] = body
                    continue
                with view[part.start : part.end] as content:
                    where = f"part {brief(name)} of the form"
                    parameters[name] = self._value(
                        kind, content, part.content_type, part.charset, where
                    )
        if kept is not None and type(body) is bytearray:
            del body[kept.end :]
            del body[: kept.start]


def _joined(block: bytes | bytearray, more: bytes) -> bytes | bytearray:
    """Return header lines with others behind them; of equal names the last one counts."""
    return b"\n".join((block, more)) if block and more else more or block


def _value(
    kind: int,
    content: bytes | bytearray | memoryview,
    media_type: str,
    charset: str,
    where: str,
    *,
    reads_marks: bool = True,
) -> object:
    if kind == _BINARY:
        return content if type(content) is bytearray else bytearray(content)
    text = decode(content, charset, where, media_type, reads_marks=reads_marks)
    if kind == _TEXT:
        return text
    try:
        return _parse_json(text.removeprefix(_BYTE_ORDER_MARK))
    except RecursionError:
        raise InvalidInput(f"{where} is JSON, but nested too deeply") from None
    except ValueError as error:
        reason = str(error) if text else "it is empty"
        raise InvalidInput(f"{where} is not valid JSON: {reason}") from None


def _sentence(message: str) -> bytes:
    return (message[:1].upper() + message[1:]).encode("utf-8", "replace")


def _failure(index: int, error: Exception) -> ResultItem:
    if isinstance(error, InvalidInput):
        return index, FAILED, 400, _BAD_REQUEST, b"", _sentence(str(error))
    if isinstance(error, MemoryError):
        return index, FAILED, 507, b"", b"", b"Out of resources"
    import traceback

    lines = traceback.format_exception(error)
    write_log("A request could not be decoded:\n" + "".join(lines))
    return index, FAILED, 500, b"", b"", b"The request could not be decoded"
