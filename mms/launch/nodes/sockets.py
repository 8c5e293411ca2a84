"""TCP connections between nodes that end when the other node is gone without a word."""

from __future__ import annotations

import socket


def watch_peer(connection: socket.socket, silence_s: float) -> None:
    """Have the kernel end a connection whose peer's kernel has answered nothing for about `silence_s`.

    A peer that is merely busy, or stopped, is no such one: its kernel answers.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    probes = 3
    interval_s = max(1, round(silence_s / (probes + 1)))
    for name, value in (
        ("TCP_KEEPIDLE", interval_s),
        ("TCP_KEEPALIVE", interval_s),  # macOS's name of it
        ("TCP_KEEPINTVL", interval_s),
        ("TCP_KEEPCNT", max(1, round(silence_s / interval_s) - 1)),
        ("TCP_USER_TIMEOUT", int(silence_s * 1000)),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
