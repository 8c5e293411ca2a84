"""The JSON of an HTTP request: in a multipart form, a form field, the query or the body, in this order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from mms.bodies.invalid_input import InvalidInput
from mms.bodies.multipart import Part, find_boundary, find_parts
from mms.interfaces.seldon.codec.json_decoding import Base64Bytes
from mms.interfaces.seldon.codec.json_text import load_json
from mms.interfaces.seldon.errors import SeldonMicroserviceException

_NO_JSON = "Can't find JSON in data"
_MULTIPART = "multipart/form-data"
_FORM = "application/x-www-form-urlencoded"
_BINARY_TYPES = ("application/octet-stream", "image/", "audio/", "video/")


def read_json_body(
    content_type: bytes,
    query: bytes,
    body: bytes | bytearray | memoryview,
    *,
    strict: bool = False,
    load: Callable[[bytes | bytearray | memoryview], Any] = load_json,
) -> Any:
    """Return the decoded JSON that a request carries; never None.

    Where not `strict`, a body of a binary type (octet-stream, image, audio, video) is
    `{"binData": ...}`, and bad JSON in a form or the query is a SeldonMicroserviceException (400)
    as it is in a body; where `strict`, it is the parser's ValueError.
    """
    type_text = content_type.decode("latin-1").strip()
    media_type = type_text.partition(";")[0].strip().lower()
    if _MULTIPART in type_text.lower():
        return _read_multipart(type_text, body, strict)
    text = _json_parameter(media_type, query, body, strict)
    if text:
        return _parsed(text, "json", strict)
    if _is_json_type(media_type):
        try:
            content = load(body)
        except ValueError:
            raise SeldonMicroserviceException(_NO_JSON) from None
        if content is not None:
            return content
    elif not strict and len(body) and media_type.startswith(_BINARY_TYPES):
        return {"binData": Base64Bytes.of(bytes(body))}
    raise SeldonMicroserviceException(_NO_JSON)


def read_undecoded_body(
    content_type: bytes, query: bytes, body: bytes | bytearray | memoryview
) -> bytes | str | dict[str, Any]:
    """Return what comes with PAYLOAD_PASSTHROUGH: the bytes, the text of `json=`, or a multipart form's object."""
    type_text = content_type.decode("latin-1").strip()
    if _MULTIPART in type_text.lower():
        return _read_multipart(type_text, body, strict=True)
    media_type = type_text.partition(";")[0].strip().lower()
    return _json_parameter(media_type, query, body, strict=True) or bytes(body)


def _is_json_type(media_type: str) -> bool:
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _json_parameter(
    media_type: str, query: bytes, body: bytes | bytearray | memoryview, strict: bool
) -> str | None:
    """Return the text of `json` in the form or, if it has none, in the query; of several the first.

    Raises SeldonMicroserviceException for what is not UTF-8, unless `strict`.
    """
    errors = "replace" if strict else "strict"
    sources = [bytes(body)] if media_type == _FORM else []
    sources.append(query.removeprefix(b"?"))
    for source in sources:
        if b"json" in source or b"%" in source:
            try:
                pairs = parse_qsl(source.decode("utf-8", errors), True, errors=errors)
            except UnicodeDecodeError as error:
                raise SeldonMicroserviceException(
                    f"The form or query is not UTF-8: {error}"
                ) from None
            found = next((value for name, value in pairs if name == "json"), None)
            if found:
                return found
    return None


def _parsed(text: str, field: str, strict: bool) -> Any:
    try:
        return load_json(text)
    except ValueError as error:
        if strict:
            raise
        raise SeldonMicroserviceException(f"The field {field} is not JSON: {error}") from None


def _read_multipart(
    content_type: str, body: bytes | bytearray | memoryview, strict: bool
) -> dict[str, Any]:
    """Read a form: texts as JSON (strData as it is), the file binData in base64, other files as text."""
    whole = bytes(body)
    fields: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for part in _parts(content_type, whole, strict):
        content = whole[part.start : part.end]
        if part.is_file:
            if part.name not in files:
                files[part.name] = _file(part.name, content, strict)
        elif part.name not in fields:
            text = _text(part.name, content, strict)
            fields[part.name] = text if part.name == "strData" else _parsed(text, part.name, strict)
    return {**fields, **files}


def _parts(content_type: str, body: bytes, strict: bool) -> list[Part]:
    try:
        boundary = find_boundary(content_type)
        if boundary is None:
            raise InvalidInput("Content-Type: multipart/form-data has no boundary")
        return find_parts(body, boundary)
    except InvalidInput as error:
        if strict:
            return []
        raise SeldonMicroserviceException(str(error)) from None


def _text(name: str, content: bytes, strict: bool) -> str:
    try:
        return content.decode("utf-8", "replace" if strict else "strict")
    except UnicodeDecodeError as error:
        raise SeldonMicroserviceException(f"The field {name} is not UTF-8 text: {error}") from None


def _file(name: str, content: bytes, strict: bool) -> Any:
    if name == "binData":
        return Base64Bytes.of(content)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if strict:
            raise
        raise SeldonMicroserviceException(f"The file {name} is not UTF-8 text: {error}") from None
