"""One connection of HTTP/2: its streams, their flow control, and its end."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

from hpack import HPACKError

from mms.connections import remote_name
from mms.errors import UNIMPLEMENTED, ServerError
from mms.grpc import frames
from mms.grpc.answers import AnswerWriter
from mms.grpc.call import PREFIX_BYTES, Call, CallOwner, Method, read_prefix, too_large
from mms.grpc.frames import frame_header, read_header
from mms.grpc.head import (
    MAX_HEADER_LIST_BYTES,
    CallHead,
    HeadReader,
    MalformedHead,
    NoCall,
    answer_status,
)
from mms.grpc.status import Status

#: Calls under way on one connection; a client keeps more of them back.
MAX_STREAMS = 256
#: What a client may send ahead of this server's reading, for a call and for all of a connection, in bytes.
_STREAM_WINDOW_BYTES = 1 << 20
_CONNECTION_WINDOW_BYTES = 16 << 20
#: What asks for work in a second without being a call: pings, each setting, resets, empty data, requests of plain
#: HTTP. No client of good will comes near.
_MAX_CONTROL_FRAMES = 5000
#: Windows opened and data sent by a few bytes, in a second: more frames than this server answers calls with.
_MAX_SMALL_FRAMES = 50_000
_SMALL_WINDOW_BYTES = 1024
_SMALL_DATA_BYTES = 16
_MAX_CONTINUATIONS = 16
#: How long a client may take to answer a ping, in seconds.
_PING_ANSWER_S = 20.0
_PING = b"mms-ping"
#: How long it may take a client to read the last bytes of a connection, in seconds.
_CLOSE_S = 5.0
_HTTP1_TEXT = b"This port serves gRPC, which needs HTTP/2.\n"
_HTTP1_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_HTTP1_TEXT), _HTTP1_TEXT)
)


class ConnectionOwner(CallOwner, Protocol):
    """What connections share. Times in seconds."""

    keep_alive_timeout_s: float
    head_timeout_s: float
    body_timeout_s: float
    connections: set[GrpcConnection]
    #: Calls go through `enter` first.
    has_access: bool

    def find(self, path: bytes) -> Method | None: ...

    def enter(self, head: CallHead, remote: str) -> CallHead:
        """The head as services see it. Raises ServerError for a call that is refused."""

    def dispatch_due(self) -> None:
        """Nothing can join what was begun in this turn of the event loop."""

    def forget(self, connection: GrpcConnection) -> None:
        """The connection has ended."""


class _Broken(Exception):
    """The client has broken HTTP/2; the connection cannot go on."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class GrpcConnection(asyncio.Protocol):
    """Owned by the event loop; `_calls` holds the calls that are not answered to the last byte."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self.remote = "0.0.0.0"
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._has_preface = False
        self._heads = HeadReader()
        self._calls: dict[int, Call] = {}
        self._last_id = 0
        #: The stream whose header block is incomplete, its flags, and the block so far.
        self._open_block: tuple[int, int, bytearray] | None = None
        self._continuations = 0
        self._receive_window = _CONNECTION_WINDOW_BYTES
        self._writer = AnswerWriter(self._on_sent)
        self._control_frames = 0
        self._small_frames = 0
        self._has_more_window = False
        self._is_leaving = False
        self._heard_at = time.monotonic()
        self._pinged_at: float | None = None
        #: The transport while it sends its last bytes, and since when.
        self._closing: asyncio.Transport | None = None
        self._closing_at = 0.0

    def __repr__(self) -> str:
        return f"<GrpcConnection of {self.remote}, {len(self._calls)} calls>"

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = self._writer.transport = cast(asyncio.Transport, transport)
        self.remote = remote_name(transport)
        self._owner.connections.add(self)
        values = {
            frames.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            frames.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
            frames.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
        }
        more = _CONNECTION_WINDOW_BYTES - frames.DEFAULT_WINDOW_BYTES
        self._write(frames.settings(values) + frames.window_update(0, more))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = self._closing = None
        calls = list(self._calls.values())
        self._calls.clear()
        self._writer.close()
        for call in calls:
            call.cancel()
        self._owner.forget(self)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writer.is_paused = True

    def resume_writing(self) -> None:
        self._writer.is_paused = False
        self._writer.send_waiting()

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self._pinged_at = None
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        try:
            if not self._has_preface:
                at = self._read_preface(data)
                if not self._has_preface:
                    return
            at = self._read_frames(data, at)
        except _Broken as broken:
            self._break(broken.code, broken.text)
            return
        except HPACKError:
            self._break(frames.COMPRESSION_ERROR, "a header block that cannot be read")
            return
        if at < len(data):
            self._rest = data[at:] if at else data
        if self._has_more_window:
            # Once for all that came: a walk through what waits for each frame would let a few bytes keep the loop busy.
            self._has_more_window = False
            self._writer.send_waiting()
        if len(self._owner.connections) == 1:
            self._owner.dispatch_due()

    def _read_preface(self, data: bytes) -> int:
        preface = frames.PREFACE
        if data.startswith(preface):
            self._has_preface = True
            return len(preface)
        if not preface.startswith(data):
            if self._transport is not None:
                self._transport.write(_HTTP1_ANSWER)
            raise _Broken(frames.PROTOCOL_ERROR, "no preface of HTTP/2")
        self._rest = data
        return 0

    # Frames in

    def _read_frames(self, data: bytes, at: int) -> int:
        """Read all whole frames. Returns where the next one begins."""
        total = len(data)
        while total - at >= frames.HEADER_BYTES:
            high, low, kind, flags, stream_id = read_header(data, at)
            size = high << 8 | low
            start = at + frames.HEADER_BYTES
            end = start + size
            if size > frames.DEFAULT_FRAME_BYTES:
                raise _Broken(frames.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            if end > total:
                break
            at = end
            stream_id &= frames.STREAM_MASK
            if self._open_block is not None and kind != frames.CONTINUATION:
                raise _Broken(frames.PROTOCOL_ERROR, "a header block broken off")
            if kind == frames.DATA:
                self._on_data(stream_id, flags, data, start, end)
            elif kind == frames.HEADERS:
                self._on_headers(stream_id, flags, data[start:end])
            elif kind == frames.WINDOW_UPDATE:
                self._on_window_update(stream_id, data[start:end])
            else:
                self._on_other(kind, stream_id, flags, data[start:end])
            if self._transport is None:
                return total
        return at

    def _on_other(self, kind: int, stream_id: int, flags: int, payload: bytes) -> None:
        if kind == frames.CONTINUATION:
            self._on_continuation(stream_id, flags, payload)
            return
        self._count_control()
        if kind == frames.PING:
            self._check(stream_id == 0 and len(payload) == 8, "ping")
            if not flags & frames.ACK:
                self._write(frames.ping(payload, is_answer=True))
        elif kind == frames.SETTINGS:
            self._on_settings(stream_id, flags, payload)
        elif kind == frames.RST_STREAM:
            self._check(0 < stream_id <= self._last_id and len(payload) == 4, "reset")
            call = self._calls.pop(stream_id, None)
            self._writer.drop(stream_id)
            if call is not None:
                call.cancel()
                self._end_if_done()
        elif kind == frames.PRIORITY:
            self._check(stream_id > 0 and len(payload) == 5, "priority")
        elif kind == frames.GOAWAY:
            self._check(stream_id == 0 and len(payload) >= 8, "goaway")
            self._is_leaving = True
            self._end_if_done()
        elif kind == frames.PUSH_PROMISE:
            raise _Broken(frames.PROTOCOL_ERROR, "a push of a client")

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        self._check(stream_id == 0, "settings")
        if flags & frames.ACK:
            self._check(not payload, "settings")
            return
        if len(payload) % 6:
            raise _Broken(frames.FRAME_SIZE_ERROR, "settings")
        self._count_control(len(payload) // 6)
        for number, value in dict(frames.read_settings(payload)).items():
            if number == frames.INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW_BYTES:
                    raise _Broken(frames.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
                for call in self._calls.values():
                    call.send_window += value - self._writer.stream_window
                self._writer.stream_window = value
            elif number == frames.MAX_FRAME_SIZE:
                is_valid = frames.DEFAULT_FRAME_BYTES <= value <= frames.LARGEST_FRAME_BYTES
                self._check(is_valid, "largest frame")
                self._writer.frame_bytes = value
        self._write(frames.SETTINGS_ACK)
        self._has_more_window = True

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _Broken(frames.FRAME_SIZE_ERROR, "window")
        more = frames.read_word(payload)
        self._check(more > 0 and stream_id <= self._last_id, "window")
        if more < _SMALL_WINDOW_BYTES:
            self._count_small()
        if stream_id == 0:
            self._writer.window += more
            if self._writer.window > frames.MAX_WINDOW_BYTES:
                raise _Broken(frames.FLOW_CONTROL_ERROR, "a window over its limit")
            self._has_more_window = True
            return
        call = self._calls.get(stream_id)
        if call is None:
            return
        call.send_window += more
        if call.send_window > frames.MAX_WINDOW_BYTES:
            self._reset(call, frames.FLOW_CONTROL_ERROR)
        elif call.outgoing:
            self._has_more_window = True

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if flags & (frames.PADDED | frames.HAS_PRIORITY):
            payload = _without_padding(payload, flags)
            if flags & frames.HAS_PRIORITY:
                self._check(len(payload) >= 5, "priority")
                payload = payload[5:]
        if not stream_id & 1:
            raise _Broken(frames.PROTOCOL_ERROR, f"a call on stream {stream_id}")
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, payload)
        else:
            self._open_block = (stream_id, flags, bytearray(payload))
            self._continuations = 0

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        self._continuations += 1
        if self._open_block is None or self._open_block[0] != stream_id:
            raise _Broken(frames.PROTOCOL_ERROR, "a continuation of nothing")
        _, first_flags, block = self._open_block
        block += payload
        if len(block) > MAX_HEADER_LIST_BYTES or self._continuations > _MAX_CONTINUATIONS:
            raise _Broken(frames.ENHANCE_YOUR_CALM, "headers over their limit")
        if flags & frames.END_HEADERS:
            self._open_block = None
            self._on_block(stream_id, first_flags, bytes(block))

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        is_end = bool(flags & frames.END_STREAM)
        if stream_id <= self._last_id:
            self._heads.skip(block)
            call = self._calls.get(stream_id)
            if call is not None:
                if is_end and call.receive_window:
                    call.receive_window = 0
                    call.feed(b"", True)
                else:
                    self._reset(call, frames.PROTOCOL_ERROR)
            return
        if self._is_leaving:
            # The client was told, and tries it elsewhere.
            self._heads.skip(block)
            return
        self._last_id = stream_id
        if len(self._calls) >= MAX_STREAMS:
            self._heads.skip(block)
            self._count_control()
            self._write(frames.rst_stream(stream_id, frames.REFUSED_STREAM))
            return
        try:
            head = self._heads.read(block)
        except MalformedHead:
            self._count_control()
            self._write(frames.rst_stream(stream_id, frames.PROTOCOL_ERROR))
            return
        except NoCall as error:
            self._count_control()
            self._answer_http(stream_id, error.status, is_end)
            return
        method = self._owner.find(head.path)
        refusal: ServerError | None = None
        if self._owner.has_access:
            try:
                head = self._owner.enter(head, self.remote)
            except ServerError as error:
                refusal = error
        call = Call(
            self._owner,
            self,
            stream_id,
            head,
            method,
            self._writer.stream_window,
            0 if is_end else _STREAM_WINDOW_BYTES,
        )
        self._calls[stream_id] = call
        if refusal is not None:
            call.fail(refusal)
            return
        if method is None:
            call.finish(Status(UNIMPLEMENTED, "Method not found!", 404))
            return
        if method.open is not None:
            call.open()
        if is_end:
            call.feed(b"", True)

    def _on_data(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        size = end - start
        # Both windows are filled up at half, and by far larger than a frame, so that a client cannot exceed them.
        self._receive_window -= size
        if self._receive_window <= _CONNECTION_WINDOW_BYTES // 2:
            more = _CONNECTION_WINDOW_BYTES - self._receive_window
            self._receive_window += more
            self._write(frames.window_update(0, more))
        is_end = bool(flags & frames.END_STREAM)
        if size < _SMALL_DATA_BYTES and not is_end:
            if size:
                self._count_small()
            else:
                self._count_control()
        call = self._calls.get(stream_id)
        if call is None:
            self._check(0 < stream_id <= self._last_id or self._is_leaving, "data")
            return
        if not call.receive_window:
            self._reset(call, frames.STREAM_CLOSED)
            return
        if (
            is_end
            and size >= PREFIX_BYTES
            and not flags & frames.PADDED
            and call.receive_window == _STREAM_WINDOW_BYTES
            and call.method is not None
            and call.method.begin is not None
        ):
            is_compressed, message_size = read_prefix(data, start)
            if not is_compressed and message_size == size - PREFIX_BYTES:
                call.receive_window = 0
                if message_size > self._owner.max_message_bytes:
                    call.finish(too_large(message_size, self._owner.max_message_bytes))
                elif not call.is_ended:
                    call.begin(data[start + PREFIX_BYTES : end])
                return
        call.receive_window -= size
        payload = data[start:end]
        if flags & frames.PADDED:
            payload = _without_padding(payload, flags)
        if is_end:
            call.receive_window = 0
        elif call.receive_window <= _STREAM_WINDOW_BYTES // 2:
            more = _STREAM_WINDOW_BYTES - call.receive_window
            call.receive_window += more
            self._write(frames.window_update(stream_id, more))
        call.feed(payload, is_end)

    # Answers out

    def send(self, call: Call, message: bytes, trailers: bytes | None) -> None:
        if call.stream_id in self._calls:
            self._writer.send(call, message, trailers)

    def _on_sent(self, call: Call) -> None:
        """All of a call is sent. What its client may still send of it is thrown away."""
        self._calls.pop(call.stream_id, None)
        if call.receive_window:
            self._write(frames.rst_stream(call.stream_id, frames.NO_ERROR))
        if self._is_leaving:
            self._end_if_done()

    def _answer_http(self, stream_id: int, status: int, is_end: bool) -> None:
        block = answer_status(status)
        flags = frames.END_HEADERS | frames.END_STREAM
        answer = frame_header(len(block), frames.HEADERS, flags, stream_id) + block
        if not is_end:
            answer += frames.rst_stream(stream_id, frames.NO_ERROR)
        self._write(answer)

    def _reset(self, call: Call, code: int) -> None:
        self._write(frames.rst_stream(call.stream_id, code))
        self._calls.pop(call.stream_id, None)
        self._writer.drop(call.stream_id)
        call.cancel()
        self._end_if_done()

    def _write(self, data: bytes) -> None:
        if not self._writer.write(data):
            self._break(frames.ENHANCE_YOUR_CALM, "answers that nobody reads")

    # Rules

    def _check(self, is_right: bool, what: str) -> None:
        if not is_right:
            raise _Broken(frames.PROTOCOL_ERROR, f"a wrong frame: {what}")

    def _count_control(self, count: int = 1) -> None:
        self._control_frames += count
        if self._control_frames > _MAX_CONTROL_FRAMES:
            raise _Broken(frames.ENHANCE_YOUR_CALM, "too_many_pings")

    def _count_small(self) -> None:
        self._small_frames += 1
        if self._small_frames > _MAX_SMALL_FRAMES:
            raise _Broken(frames.ENHANCE_YOUR_CALM, "too many small frames")

    def _break(self, code: int, text: str) -> None:
        """The connection cannot go on."""
        transport = self._transport
        if transport is None:
            return
        if self._has_preface:
            transport.write(frames.goaway(self._last_id, code, text))
        self._close_transport(transport)
        calls = list(self._calls.values())
        self._calls.clear()
        self._writer.close()
        for call in calls:
            call.cancel()

    # Its end

    def check_time(self, now: float) -> None:
        """Called every second: ask a silent client whether it is there, and end what does not answer."""
        self._control_frames = self._small_frames = 0
        transport = self._transport
        if transport is None:
            if self._closing is not None and now - self._closing_at > _CLOSE_S:
                self._closing.abort()
            return
        silent_s = now - self._heard_at
        if self._writer.is_stuck(now, self._owner.keep_alive_timeout_s):
            transport.abort()
            return
        for call in list(self._calls.values()):
            call.end_if_slow(now, self._owner.body_timeout_s)
        if not self._has_preface:
            if silent_s > self._owner.head_timeout_s:
                transport.abort()
        elif self._pinged_at is not None:
            if now - self._pinged_at > _PING_ANSWER_S:
                transport.abort()
        elif silent_s > self._owner.keep_alive_timeout_s:
            self._pinged_at = now
            self._write(frames.ping(_PING, is_answer=False))

    def leave(self) -> None:
        """Take no more calls; end with the last answer. A client tries calls that cross this one elsewhere."""
        if self._is_leaving or self._transport is None:
            return
        self._is_leaving = True
        if self._has_preface:
            self._write(frames.goaway(self._last_id, frames.NO_ERROR, "the server stops"))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_leaving and not self._calls and self._transport is not None:
            self._close_transport(self._transport)

    def _close_transport(self, transport: asyncio.Transport) -> None:
        """Close it once what is written is sent."""
        self._transport = None
        self._writer.close()
        self._closing = transport
        self._closing_at = time.monotonic()
        transport.close()

    def abort(self) -> None:
        transport = self._transport or self._closing
        if transport is not None:
            transport.abort()


def _without_padding(payload: bytes, flags: int) -> bytes:
    if not flags & frames.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise _Broken(frames.PROTOCOL_ERROR, "padding")
    return payload[1 : len(payload) - payload[0]]
