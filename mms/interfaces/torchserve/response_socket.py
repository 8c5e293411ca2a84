"""Parts of answers as TorchServe's own package writes them to its front: read again, and sent as this server's."""

from __future__ import annotations

import struct
from typing import Any, Final

_SIZE: Final = struct.Struct("!i")
_END: Final = -1


class ResponseSocket:
    """`context.cl_socket`, which `send_intermediate_predict_response` of TorchServe's own package writes to."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"<ResponseSocket of {self._context!r}>"

    def sendall(self, message: bytes | bytearray) -> None:
        """Send the parts in a message. Raises ValueError for what is no message of parts."""
        places = {request_id: place for place, request_id in self._context.request_ids.items()}
        try:
            with self._context._together():
                for request_id, body in _parts(message):
                    self._context.send_chunk(body, places[request_id])
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"this is no message with parts of answers: {error}") from None


def _parts(message: bytes | bytearray) -> list[tuple[str, bytes]]:
    """Return the id and the part of each request. Status and headers are those that the context has."""
    found = []
    # A status, and a text.
    _, at = _read(message, _SIZE.size)
    while _SIZE.unpack_from(message, at)[0] != _END:
        request_id, at = _read(message, at)
        _, at = _read(message, at)
        _, at = _read(message, at + _SIZE.size)
        (headers,) = _SIZE.unpack_from(message, at)
        at += _SIZE.size
        for _ in range(2 * headers):
            _, at = _read(message, at)
        body, at = _read(message, at)
        found.append((request_id.decode(), body))
    return found


def _read(message: bytes | bytearray, at: int) -> tuple[bytes, int]:
    """Return the bytes behind their size, and the place behind them."""
    (size,) = _SIZE.unpack_from(message, at)
    start = at + _SIZE.size
    if size < 0 or start + size > len(message):
        raise struct.error(f"a size of {size} bytes")
    return bytes(message[start : start + size]), start + size
