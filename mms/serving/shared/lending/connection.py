"""One of a worker's connections, from the worker's side, on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from mms import faults
from mms.core.request import Buffer
from mms.wire import FrameDecoder, ProtocolError

logger = logging.getLogger("mms.serving")

#: What a front may send at once; it has limits of its own for what it takes of clients.
_MAX_FRAME_BYTES: Final = 1 << 40
#: Where what is still read of a connection goes that is being ended.
_NOWHERE: Final = memoryview(bytearray(1))


class OnFrame(Protocol):
    def __call__(self, kind: int, sequence: int, payload: Any, bodies: Any) -> None:
        """Take a frame. Raises ProtocolError where no worker gets such a one."""


class WorkerSide(asyncio.BufferedProtocol):
    """One of a worker's connections, from the worker's side."""

    def __init__(self, on_frame: OnFrame, on_lost: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._decoder = FrameDecoder(_MAX_FRAME_BYTES)
        self._transport: asyncio.Transport | None = None

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        try:
            return self._decoder.get_buffer()
        except Exception as error:
            # A frame for which there is no memory.
            faults.note("lending", error)
            self.abort()
            return _NOWHERE

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for kind, sequence, payload, bodies in self._decoder.received(nbytes):
                self._on_frame(kind, sequence, payload, bodies)
        except ProtocolError as error:
            logger.error("A front that borrows a worker sends what none may: %s", error)
            self.abort()
        except Exception as error:
            faults.note("lending", error)
            self.abort()

    @faults.ends_connection
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost()

    def write(self, data: Buffer) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
