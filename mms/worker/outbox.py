"""What a worker has to say, written with as few system calls as promptness allows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from mms.wire import Buffer

#: An answer waits no longer than this for others to go out with it.
_HOLD_NS = 500_000
#: A write of more buffers is refused by the kernel (IOV_MAX).
_MAX_BUFFERS = 1024


class Outbox:
    """Frames for one connection. Owned by the thread that runs batches.

    How long the model takes is a guess: what is held while its code runs is lent, so that another thread can send it.
    """

    __slots__ = ("_buffers", "_is_lent", "_oldest_ns", "_owning", "_socket")

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffers: list[Buffer] = []
        self._oldest_ns = 0
        #: Held by the owner, but for the time of a loan.
        self._owning = threading.Lock()
        self._owning.acquire()
        self._is_lent = False

    def __repr__(self) -> str:
        return f"<Outbox {len(self._buffers)} buffers>"

    def add(self, buffers: Sequence[Buffer], now_ns: int) -> None:
        """Hold frames as `encode_frame` or `encode_result` make them. What is not one buffer goes out at once.

        Further buffers are bodies as the handler returned them, which it may change when it is called again.
        """
        if not self._buffers:
            self._oldest_ns = now_ns
        self._buffers += buffers
        if len(buffers) > 1:
            self.flush()

    def flush_due(self, now_ns: int, expected_ns: int) -> None:
        """Flush unless what is held can wait for `expected_ns` more."""
        if self._buffers and now_ns + expected_ns - self._oldest_ns > _HOLD_NS:
            self.flush()

    def lend(self) -> None:
        """The model's code is about to run: until `take_back` whoever calls `flush_lent` may send what is held."""
        if self._buffers:
            self._is_lent = True
            self._owning.release()

    def take_back(self) -> bool:
        """Call before anything else is done with it, also where nothing was lent. Returns whether it was."""
        if not self._is_lent:
            return False
        self._owning.acquire()
        self._is_lent = False
        return True

    def flush_lent(self) -> None:
        """Send what is held, where it is lent. Any thread may. Raises OSError where the front is gone."""
        if self._owning.acquire(blocking=False):
            try:
                # The answers alone: records of them are the owner's to make.
                Outbox.flush(self)
            finally:
                self._owning.release()

    def flush(self) -> None:
        """Send what is held. Raises OSError where the front is gone."""
        buffers = self._buffers
        if len(buffers) == 1:
            self._socket.sendall(buffers[0])
            buffers.clear()
            return
        while buffers:
            sent = self._socket.sendmsg(buffers[:_MAX_BUFFERS])
            done = 0
            for buffer in buffers:
                if sent < len(buffer):
                    break
                sent -= len(buffer)
                done += 1
            del buffers[:done]
            if sent:
                buffers[0] = memoryview(buffers[0])[sent:]
