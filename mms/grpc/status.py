"""gRPC's status codes, and what they are for an HTTP status and back."""

from __future__ import annotations

from typing import NamedTuple

from mms import errors
from mms.bodies.inflation import BrokenCoding, InflatesTooFar
from mms.errors import ServerError

OK = 0
CANCELLED = 1
UNKNOWN = 2
ABORTED = 10
OUT_OF_RANGE = 11

_OF_HTTP = {
    400: errors.INVALID_ARGUMENT,
    401: errors.UNAUTHENTICATED,
    403: errors.PERMISSION_DENIED,
    404: errors.NOT_FOUND,
    405: errors.UNIMPLEMENTED,
    408: errors.DEADLINE_EXCEEDED,
    409: ABORTED,
    412: errors.FAILED_PRECONDITION,
    413: errors.RESOURCE_EXHAUSTED,
    416: OUT_OF_RANGE,
    422: errors.INVALID_ARGUMENT,
    429: errors.RESOURCE_EXHAUSTED,
    errors.CLIENT_CLOSED_REQUEST: CANCELLED,
    501: errors.UNIMPLEMENTED,
    502: errors.UNAVAILABLE,
    503: errors.UNAVAILABLE,
    504: errors.DEADLINE_EXCEEDED,
    507: errors.RESOURCE_EXHAUSTED,
}


class Status(NamedTuple):
    """How a call ended. `http_status`: the same for logs and metrics, which are HTTP's."""

    code: int
    message: str
    http_status: int


def code_of_http(status: int) -> int:
    """Return the code of an HTTP status: one of its own for the usual ones, else its family's."""
    code = _OF_HTTP.get(status)
    if code is not None:
        return code
    if 400 <= status < 500:
        return errors.INVALID_ARGUMENT
    return errors.INTERNAL if 500 <= status < 600 else UNKNOWN


def status_of(error: ServerError) -> Status:
    """Return the status of an error of this server. One without a code of its own has that of its HTTP status."""
    code = error.grpc_code
    if code == errors.INTERNAL:
        code = code_of_http(error.http_status)
    return Status(code, error.message or error.type_name, error.http_status)


def encode_message(message: str) -> bytes:
    """Text for `grpc-message`: what is not printable ASCII, and the percent sign, as percent and two digits."""
    data = message.encode("utf-8", "surrogateescape")
    if data.isascii() and message.isprintable() and "%" not in message:
        return data
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in data
    )


def too_large(size: int, limit: int) -> Status:
    """Return the status for a message over the limit; the beginning is that of gRPC's own servers."""
    return Status(
        errors.RESOURCE_EXHAUSTED,
        f"Received message larger than max ({size} vs. {limit}); grpc_max_request_size is the limit.",
        413,
    )


def status_of_coding(error: BrokenCoding | InflatesTooFar) -> Status:
    """Return the status for a compressed message that cannot be taken."""
    if isinstance(error, BrokenCoding):
        return Status(errors.INTERNAL, f"A compressed message {error}.", 400)
    limit = "max_request_ratio" if error.is_ratio else "grpc_max_request_size"
    text = f"Received message larger than max ({error} decompressed); {limit} is the limit."
    return Status(errors.RESOURCE_EXHAUSTED, text, 413)
