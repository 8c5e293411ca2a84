"""Messages between processes of one machine: a length (u32, big-endian) and JSON, over a Unix stream socket.

Descriptors go with the first byte of a message, which says by its members how many it has.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from struct import Struct
from typing import Any

_LENGTH = Struct("!I")
_READ_BYTES = 64 * 1024
_MAX_DESCRIPTORS = 16
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def encode_message(message: Mapping[str, Any]) -> bytes:
    payload = json.dumps(message).encode()
    return _LENGTH.pack(len(payload)) + payload


def receive_message(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Wait for one message and its descriptors, and read no more than it; None at the end. Raises OSError."""
    head, descriptors, _, _ = socket.recv_fds(
        connection, _LENGTH.size, _MAX_DESCRIPTORS, _CLOSE_ON_EXEC | socket.MSG_WAITALL
    )
    if len(head) < _LENGTH.size:
        return None, descriptors
    (length,) = _LENGTH.unpack(head)
    payload = connection.recv(length, socket.MSG_WAITALL)
    return (json.loads(payload) if len(payload) == length else None), descriptors


class MessageReader:
    """Cuts what comes from a socket into messages."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        self._descriptors: list[int] = []

    def __repr__(self) -> str:
        return f"<MessageReader {len(self._received)} bytes, {len(self._descriptors)} descriptors>"

    def receive(self) -> list[dict[str, Any]] | None:
        """Return the messages that one read completes; None at the end. Raises OSError."""
        content, descriptors, _, _ = socket.recv_fds(
            self._connection,
            _READ_BYTES,
            _MAX_DESCRIPTORS,
            _CLOSE_ON_EXEC,
        )
        if not content:
            return None
        self._received += content
        self._descriptors += descriptors
        messages: list[dict[str, Any]] = []
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            end = _LENGTH.size + length
            if len(self._received) < end:
                break
            messages.append(json.loads(self._received[_LENGTH.size : end]))
            self._received = self._received[end:]
        return messages

    def take_descriptors(self, count: int) -> list[int]:
        """Return the next ones that came. The caller closes them."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken
