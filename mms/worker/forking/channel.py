"""The front's socket in a process that forks workers."""

from __future__ import annotations

import os
import socket

from mms.worker.process.setup import keep_connection


def take_channel() -> socket.socket:
    """The front's socket, which is the standard input at first; nothing is from now on, as in any worker."""
    channel = socket.socket(fileno=os.dup(0))
    # Programs of a handler do not have it, and processes that are forked close it.
    keep_connection(channel)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel
