"""MMS's wire protocol: numbers are signed 32-bit big-endian, texts and bytes follow their length, -1 ends a list.

This server's workers speak `mms.wire`; this is for tools and tests that were written for MMS.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mms.context import Context

int_size = 4
END_OF_LIST = -1
LOAD_MSG = b"L"
PREDICT_MSG = b"I"
RESPONSE = 3

_INT = struct.Struct("!i")


class _Connection(Protocol):
    def recv(self, size: int, /) -> bytes: ...


def retrieve_msg(conn: _Connection) -> tuple[bytes, dict[str, Any] | list[dict[str, Any]]]:
    """(command, load request or batch of requests). Raises ValueError for another command or a closed connection."""
    command = bytes(_read(conn, 1))
    if command == LOAD_MSG:
        return command, _read_load_request(conn)
    if command == PREDICT_MSG:
        return command, _read_batch(conn)
    raise ValueError(f"Invalid command: {command!r}")


def encode_response_headers(resp_hdr_map: Mapping[str, str]) -> bytearray:
    message = bytearray(_INT.pack(len(resp_hdr_map)))
    for name, value in resp_hdr_map.items():
        message += _sized(name.encode())
        message += _sized(value.encode())
    return message


def create_predict_response(
    ret: Sequence[Any] | None,
    req_id_map: Mapping[int, str],
    message: str,
    code: int,
    context: Context | None = None,
) -> bytearray:
    """The response for a batch. Where a result cannot be written, one that says so to every request of the batch."""
    response = bytearray(_INT.pack(code))
    response += _sized(message.encode())
    for index, request_id in req_id_map.items():
        response += _sized(request_id.encode())
        if context is None:
            response += _sized(b"") + _INT.pack(code) + _sized(b"") + _INT.pack(0)
        else:
            status, phrase = context.get_response_status(index)
            response += _sized((context.get_response_content_type(index) or "").encode())
            response += _INT.pack(200 if status is None else status)
            response += _sized((phrase or "").encode())
            response += encode_response_headers(context.get_response_headers(index))
        try:
            response += _sized(b"error" if ret is None else _result_bytes(ret[index]))
        except (TypeError, ValueError):
            unsupported = "Unsupported model output data type."
            return create_predict_response(None, req_id_map, unsupported, 503)
    return response + _INT.pack(END_OF_LIST)


def create_load_model_response(code: int, message: str) -> bytearray:
    return bytearray(_INT.pack(code) + _sized(message.encode()) + _INT.pack(END_OF_LIST))


def _sized(content: bytes | bytearray) -> bytes:
    return _INT.pack(len(content)) + content


def _result_bytes(result: Any) -> bytes | bytearray:
    if isinstance(result, (bytes, bytearray)):
        return result
    if isinstance(result, str):
        return result.encode()
    return json.dumps(result, indent=2).encode()


def _read(conn: _Connection, size: int) -> bytearray:
    content = bytearray()
    while len(content) < size:
        received = conn.recv(size - len(content))
        if not received:
            raise ValueError("Frontend disconnected")
        content += received
    return content


def _read_int(conn: _Connection) -> int:
    number: int = _INT.unpack(_read(conn, int_size))[0]
    return number


def _read_sized(conn: _Connection) -> bytearray:
    return _read(conn, _read_int(conn))


def _read_load_request(conn: _Connection) -> dict[str, Any]:
    request: dict[str, Any] = {
        "modelName": _read_sized(conn),
        "modelPath": _read_sized(conn),
        "batchSize": _read_int(conn),
        "handler": _read_sized(conn),
    }
    gpu_id = _read_int(conn)
    if gpu_id >= 0:
        request["gpu"] = gpu_id
    request["ioFileDescriptor"] = _read_sized(conn)
    return request


def _read_batch(conn: _Connection) -> list[dict[str, Any]]:
    batch = []
    while (length := _read_int(conn)) != END_OF_LIST:
        request: dict[str, Any] = {"requestId": _read(conn, length), "headers": []}
        while (length := _read_int(conn)) != END_OF_LIST:
            header = {"name": _read(conn, length), "value": _read_sized(conn)}
            request["headers"].append(header)
        request["parameters"] = []
        while (length := _read_int(conn)) != END_OF_LIST:
            request["parameters"].append(_read_parameter(conn, length))
        batch.append(request)
    return batch


def _read_parameter(conn: _Connection, name_length: int) -> dict[str, Any]:
    name = _read(conn, name_length).decode()
    content_type = _read_sized(conn).decode()
    value: Any = _read_sized(conn)
    if os.environ.get("MMS_DECODE_INPUT_REQUEST", "true") == "true":
        if content_type == "application/json":
            value = json.loads(value.decode())
        elif content_type.startswith("text"):
            value = value.decode()
    return {"name": name, "contentType": content_type, "value": value}
