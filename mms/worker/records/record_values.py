"""What a request asked and its answer said, as records tell it: JSON values, rows of inputs and outputs."""

from __future__ import annotations

import re
from typing import Any

from mms.bodies.json_text import from_json
from mms.wire import Buffer, Item

#: The operation of requests that name none.
PREDICT = "predict"
#: Requests that ask about the model, not the model.
_NOT_TRACKED = ("metadata", "metrics", "ready", "init-metadata", "health/status", "health/ping")

_MAX_ERROR_CHARS = 2_000
#: Larger bodies are not read: their values would not fit a record.
_MAX_BODY_BYTES = 512 * 1024
_CONTENT_TYPE = re.compile(rb"(?im)^content-type:[ \t]*([^\r\n]*)")
_CONTENT_CODING = re.compile(rb"(?im)^content-encoding:[ \t]*([^\r\n]*)")


def operation_of(item: Item) -> str | None:
    """Return what a request asked for; None where that is no business of records."""
    operation = item[7]
    if operation is None:
        return PREDICT
    name = operation.name.strip("/")
    return None if name in _NOT_TRACKED or operation.method == "GET" else name or PREDICT


def request_of(item: Item) -> dict[str, Any]:
    """Return a request with its `id` and its `inputs`, a list; of what is no JSON and no text, its size."""
    request_id, _, content_type, query, _, _, body, _ = item
    known_id = str(request_id, "ascii", "replace")
    if not body and query:
        return {"id": known_id, "inputs": [_fields(bytes(query))]}
    return _told(known_id, bytes(content_type).decode("latin-1"), body, "inputs")


def response_of(id: Any, headers: bytes, body: Buffer) -> dict[str, Any]:
    """Return an answer with the request's id and its `outputs`, a list; of what is no JSON and no text, its size."""
    found = _CONTENT_TYPE.search(headers)
    content_type = found[1].decode("latin-1").strip() if found else ""
    coding = _coding_of(headers)
    if coding:
        plain = _inflated(coding, body)
        if plain is None:
            return {
                **_told_by_size(id, content_type, body, "outputs"),
                "content_encoding": coding.decode("latin-1"),
            }
        body = plain
    return _told(id, content_type, body, "outputs")


def error_of(phrase: bytes, headers: bytes, body: Buffer) -> str:
    """Return what a client was told, in one text."""
    coding = _coding_of(headers)
    if coding:
        body = _inflated(coding, body) or b""
    text = bytes(body[: _MAX_ERROR_CHARS * 4]).decode("utf-8", "replace")[:_MAX_ERROR_CHARS]
    return text or phrase.decode("latin-1")


def _coding_of(headers: bytes) -> bytes:
    """Return in which coding an answer is; nothing where it is as it is."""
    found = _CONTENT_CODING.search(headers)
    coding = found[1].strip().lower() if found else b""
    return b"" if coding == b"identity" else coding


def _inflated(coding: bytes, body: Buffer) -> Buffer | None:
    """Return a body without its coding; None where that is another one, or the body broken or too large to be read."""
    # Here, as most workers have no use for it.
    from mms.bodies.inflation import CODINGS, BrokenCoding, InflatesTooFar, Inflation

    if coding not in CODINGS or len(body) > _MAX_BODY_BYTES:
        return None
    inflation = Inflation(coding, body, _MAX_BODY_BYTES, max_ratio=0)
    try:
        inflation.finish()
    except (BrokenCoding, InflatesTooFar):
        return None
    return inflation.result


def _told_by_size(id: Any, content_type: str, body: Buffer, member: str) -> dict[str, Any]:
    media_type = content_type.partition(";")[0].strip().lower()
    return {"id": id, member: [], "content_type": media_type, "size_bytes": len(body)}


def _told(id: Any, content_type: str, body: Buffer, member: str) -> dict[str, Any]:
    media_type = content_type.partition(";")[0].strip().lower()
    size = len(body)
    if not size:
        return {"id": id, member: []}
    if size > _MAX_BODY_BYTES:
        return _told_by_size(id, content_type, body, member)
    data = bytes(body)
    if media_type.endswith("json") or data[:1] in b'{["' or data[:1].isdigit() or data[:1] == b"-":
        try:
            return _of_document(id, from_json(data), member)
        except ValueError:
            # Then it is text, or bytes that happen to begin so.
            pass
    if b"\0" not in data:
        try:
            return {"id": id, member: [data.decode("utf-8")]}
        except UnicodeDecodeError:
            pass
    return _told_by_size(id, content_type, body, member)


def _of_document(id: Any, document: Any, member: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        return {"id": id, member: document if isinstance(document, list) else [document]}
    if isinstance(document.get(member), list):
        return {"id": id, **document} if document.get("id") is None else document
    known_id = document.get("id") or id
    rows = _rows_of_data(document)
    if rows is None:
        if isinstance(document.get(member), dict):
            return {**document, "id": known_id}
        return {"id": known_id, member: [document]}
    told = {"id": known_id, member: rows}
    data = document.get("data")
    if isinstance(data, dict) and data.get("names"):
        told["names"] = data["names"]
    return told


def _rows_of_data(document: dict[str, Any]) -> list[Any] | None:
    """Return the rows of a message with `data`, `jsonData` or `strData`; None for another document."""
    data = document.get("data")
    if isinstance(data, dict):
        if isinstance(data.get("ndarray"), list):
            rows: list[Any] = data["ndarray"]
            return rows
        tensor = data.get("tensor")
        if isinstance(tensor, dict) and isinstance(tensor.get("values"), list):
            return _shaped(tensor["values"], tensor.get("shape"))
    if "jsonData" in document:
        value = document["jsonData"]
        return value if isinstance(value, list) else [value]
    if "strData" in document:
        return [document["strData"]]
    return None


def _shaped(values: list[Any], shape: Any) -> list[Any]:
    """Return rows of a flat list by the first of its dimensions; further ones stay flat within a row."""
    if not isinstance(shape, list) or len(shape) < 2 or not isinstance(shape[0], int):
        return values
    count = shape[0]
    if count <= 0 or len(values) % count:
        return values
    width = len(values) // count
    return [values[start : start + width] for start in range(0, len(values), width)]


def _fields(query: bytes) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))
