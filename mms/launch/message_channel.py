"""The front's end of a socket to a process that starts others for it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mms import faults
from mms.processes.messages import MessageReader, encode_message


class MessageChannel:
    """Sends and receives messages on the event loop, without ever waiting for the other side."""

    def __init__(
        self,
        connection: socket.socket,
        on_message: Callable[[dict[str, Any]], None],
        on_lost: Callable[[], None],
    ) -> None:
        """`on_lost` is called once, where the other side ends it; never after `close`."""
        connection.setblocking(False)
        self._socket: socket.socket | None = connection
        self._reader = MessageReader(connection)
        self._on_message = on_message
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        #: What waits for room in the socket, with the descriptors that go with its first byte.
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._loop.add_reader(connection, self._read)

    def __repr__(self) -> str:
        state = "closed" if self._socket is None else f"{len(self._outgoing)} to send"
        return f"<MessageChannel {state}>"

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Descriptors are closed here once they are sent."""
        if self._socket is None:
            close_all(descriptors)
            return
        self._outgoing.append((encode_message(message), list(descriptors)))
        if len(self._outgoing) == 1:
            self._write()

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            self._loop.remove_reader(connection)
            self._loop.remove_writer(connection)
            connection.close()
        for _, descriptors in self._outgoing:
            close_all(descriptors)
        self._outgoing.clear()

    def _write(self) -> None:
        try:
            self._write_on()
        except Exception as error:
            # What it has got is not known, and the loop would call again and again.
            faults.note("channel", error)
            with faults.contained("channel"):
                self._lose()

    def _write_on(self) -> None:
        connection = self._socket
        while self._outgoing and connection is not None:
            content, descriptors = self._outgoing[0]
            try:
                sent = (
                    socket.send_fds(connection, [content], descriptors)
                    if descriptors
                    else connection.send(content)
                )
            except BlockingIOError:
                self._loop.add_writer(connection, self._write)
                return
            except OSError:
                self._lose()
                return
            close_all(descriptors)
            if sent < len(content):
                self._outgoing[0] = (content[sent:], [])
            else:
                self._outgoing.popleft()
        if connection is not None:
            self._loop.remove_writer(connection)

    @faults.contained("channel")
    def _read(self) -> None:
        try:
            messages = self._reader.receive()
        except BlockingIOError:
            return
        except OSError:
            messages = None
        if messages is None:
            self._lose()
            return
        for message in messages:
            with faults.contained("channel"):
                self._on_message(message)

    def _lose(self) -> None:
        if self._socket is not None:
            self.close()
            self._on_lost()


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
