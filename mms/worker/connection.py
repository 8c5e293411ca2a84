"""The worker's ends of its connections to the front."""

from __future__ import annotations

import _thread
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

from mms.text.brief import brief
from mms.wire import (
    CALLED,
    CANCEL,
    HEARTBEAT,
    HELLO,
    ROLE_CONTROL,
    ROLE_WORK,
    Cancel,
    Frame,
    FrameDecoder,
    Hello,
    ProtocolError,
    encode_frame,
)
from mms.wire.sockets import hold_more
from mms.worker.process.setup import keep_connection

#: The front is trusted; what it may send it bounds itself.
MAX_FRAME_BYTES = 1 << 62
#: Ids whose batch is over by the time that they come in would pile up.
_MAX_CANCELLED = 1024


def connect(address: str, secret: str, role: str) -> socket.socket:
    """Dial `unix:<path>` or `tcp:<host>:<port>` and say hello. Raises ValueError or OSError."""
    kind, _, where = address.partition(":")
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        keep_connection(connection)
        if role == ROLE_WORK:
            hold_more(connection)
        connection.connect(where)
    elif kind == "tcp":
        host, _, port = where.rpartition(":")
        connection = socket.create_connection((host.strip("[]"), int(port)))
        keep_connection(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        raise ValueError(f"address {brief(address)} is neither unix:<path> nor tcp:<host>:<port>")
    runtime = f"{sys.implementation.name} {sys.version.partition(' ')[0]}"
    hello = Hello(secret=secret, role=role, runtime=runtime)
    connection.sendall(encode_frame(HELLO, 0, hello.to_payload()))
    return connection


def read_frames(connection: socket.socket) -> Iterator[list[Frame]]:
    """Yield the frames of each read, until the other side closes. Raises ProtocolError or OSError."""
    decoder = FrameDecoder(MAX_FRAME_BYTES)
    receive = connection.recv_into
    while size := receive(decoder.get_buffer()):
        frames = decoder.received(size)
        if frames:
            yield frames


class Control:
    """The control connection, served by a thread: it is read whatever the handler does.

    Ends the process when the front is gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        #: Ids of requests whose clients are gone. Only ever looked into by other threads.
        self.cancelled_ids: dict[bytes, None] = {}
        self._connection = connection
        self._sending = threading.Lock()
        #: Called before a sign of life is given.
        self.on_heartbeat: Callable[[], None] | None = None
        #: Takes the answers to calls; set where this worker's model may call others.
        self.on_called: Callable[[int, bytes | bytearray], None] | None = None

    def __repr__(self) -> str:
        return f"<Control {len(self.cancelled_ids)} cancelled>"

    def start(self) -> None:
        # What a Thread of `threading` has besides would be copies of pages in each fork.
        _thread.start_new_thread(self._serve, ())

    def send(self, frame: bytes) -> None:
        """Any thread may. Raises OSError where the front is gone."""
        with self._sending:
            self._connection.sendall(frame)

    def _serve(self) -> None:
        try:
            for frames in read_frames(self._connection):
                for kind, sequence, payload, _ in frames:
                    if kind == HEARTBEAT:
                        if self.on_heartbeat is not None:
                            self.on_heartbeat()
                        beat = encode_frame(HEARTBEAT, sequence, payload)
                        if self.on_called is None:
                            self.send(beat)
                        else:
                            # Another thread may be sending a large body, which the front does not read while answers
                            # of other models wait here to be read.
                            threading.Thread(
                                target=self._send_beat, args=(beat,), daemon=True
                            ).start()
                    elif kind == CALLED and self.on_called is not None:
                        self.on_called(sequence, payload)
                    elif kind == CANCEL:
                        self._cancel(Cancel.from_payload(payload).request_ids)
        except (OSError, ProtocolError) as error:
            sys.stderr.write(f"The control connection failed: {error}\n")
            os._exit(1)
        # Neither a handler that never returns nor its threads and programs may stay without a front.
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    def _send_beat(self, beat: bytes) -> None:
        try:
            self.send(beat)
        except OSError:
            # The front is gone, which the reading thread sees.
            return

    def _cancel(self, request_ids: list[str]) -> None:
        cancelled = self.cancelled_ids
        for request_id in request_ids:
            cancelled[request_id.encode("ascii", "replace")] = None
        while len(cancelled) > _MAX_CANCELLED:
            del cancelled[next(iter(cancelled))]


def connect_control(address: str, secret: str) -> Control:
    control = Control(connect(address, secret, ROLE_CONTROL))
    control.start()
    return control
