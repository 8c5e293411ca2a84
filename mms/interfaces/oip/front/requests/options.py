"""What a request says of its deadline and its priority in the parameters of its body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from mms.bodies.large_json import LOOP_BYTES, read_in_pieces
from mms.core.priority_queue import HIGH, LOW, NORMAL
from mms.core.request_options import DEFAULT_OPTIONS, RequestOptions
from mms.errors import BadRequest
from mms.text.brief import brief
from mms.text.durations import bounded_s

Body: TypeAlias = bytes | bytearray | memoryview

_TIMEOUT: Final = b'"timeout"'
_PRIORITY: Final = b'"priority"'
#: Bodies up to here are looked through before anybody asks where their JSON ends, in bytes.
_SMALL_BYTES: Final = 4096
_LENGTH_HEADER: Final = b"inference-header-content-length"


def options_of_body(headers: bytes, body: Body) -> RequestOptions | Awaitable[RequestOptions]:
    """Return the options that a body names, or where it is too large for the event loop what reads them.

    A body that cannot be read names none: what is wrong with it is the worker's to say. Raises BadRequest.
    """
    if isinstance(body, memoryview):
        body = bytes(body)
    # Nearly all bodies name none, which is quickly seen.
    if len(body) <= _SMALL_BYTES and _TIMEOUT not in body and _PRIORITY not in body:
        return DEFAULT_OPTIONS
    end = _json_end(headers, len(body))
    if body.find(_TIMEOUT, 0, end) < 0 and body.find(_PRIORITY, 0, end) < 0:
        return DEFAULT_OPTIONS
    text = body[:end]
    if end <= LOOP_BYTES:
        return _options_of_text(text)
    return asyncio.to_thread(_options_of_text, text)


def _json_end(headers: bytes, body_bytes: int) -> int:
    if _LENGTH_HEADER not in headers.lower():
        return body_bytes
    lines = headers.split(b"\n")
    for name, value in zip(lines[::2], lines[1::2], strict=False):
        if name.lower() == _LENGTH_HEADER and value.strip().isdigit():
            return min(int(value[:20]), body_bytes)
    return body_bytes


def _options_of_text(text: bytes | bytearray) -> RequestOptions:
    try:
        document = read_in_pieces(text, orjson.loads)
    except ValueError:
        return DEFAULT_OPTIONS
    parameters = document.get("parameters") if isinstance(document, dict) else None
    return options_of(parameters) if isinstance(parameters, dict) else DEFAULT_OPTIONS


def options_of(parameters: Mapping[str, Any]) -> RequestOptions:
    """Return the options that parameters name: `timeout` in microseconds, `priority` from 1, the highest.

    0 stands for neither, as in Triton. Raises BadRequest.
    """
    timeout_us = _number(parameters, "timeout", "a whole number of microseconds")
    priority = _number(parameters, "priority", "a whole number, of which 1 is the highest")
    classes = {0: NORMAL, 1: HIGH, 2: NORMAL}
    return RequestOptions(bounded_s(float(timeout_us), 1e-6), classes.get(priority, LOW))


def _number(parameters: Mapping[str, Any], name: str, right: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise BadRequest(f"Parameter {name} is {brief(value)}; {right} is right.")
    return value
