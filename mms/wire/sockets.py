"""What the two ends of a worker's connection over a Unix socket have in common."""

from __future__ import annotations

import contextlib
import socket
from typing import Final

#: What is on its way at most, where the system lets it be so much (Linux: `net.core.wmem_max`). With its usual 208 KiB
#: both processes take turns many times for a body of megabytes.
_SEND_BYTES: Final = 1 << 20


def hold_more(connection: socket.socket) -> None:
    """Let more bytes be sent before they are read."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
