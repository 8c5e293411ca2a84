"""One connection of HTTP/2: its streams, their flow control, and its end."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

from hpack import HPACKError

from mms import faults
from mms.bodies.inflation import Inflation
from mms.core.request import Buffer
from mms.errors import UNIMPLEMENTED, ServerError
from mms.grpc import frames
from mms.grpc.answers import AnswerWriter
from mms.grpc.call import PREFIX_BYTES, Call, CallOwner, Method, read_prefix
from mms.grpc.frames import frame_header, read_header
from mms.grpc.head import (
    MAX_HEADER_LIST_BYTES,
    CallHead,
    HeadReader,
    MalformedHead,
    NoCall,
    answer_status,
)
from mms.grpc.inflow import Inflow
from mms.grpc.rules import (
    SMALL_DATA_BYTES,
    SMALL_WINDOW_BYTES,
    Broken,
    FrameCounts,
    check,
    without_padding,
)
from mms.grpc.status import Status, too_large
from mms.grpc.turns import FrameTurns
from mms.limits.connections import MAX_PROBES, PROBE_S, remote_name
from mms.limits.memory import MemoryLimit, Pace

#: What a client may have under way to this server in all its calls, in bytes. Their own windows keep it short.
_CONNECTION_WINDOW_BYTES = 16 << 20
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
    memory: MemoryLimit
    turns: FrameTurns
    #: Calls go through `enter` first.
    has_access: bool

    def find(self, path: bytes) -> Method | None: ...

    def enter(self, head: CallHead, remote: str) -> CallHead:
        """Return the head as services see it. Raises ServerError for a call that is refused."""

    def dispatch_due(self) -> None:
        """Nothing can join what was begun in this turn of the event loop."""

    def forget(self, connection: GrpcConnection) -> None:
        """The connection has ended."""


class GrpcConnection(asyncio.Protocol):
    """Owned by the event loop; `_calls` holds the calls that are not answered to the last byte."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self.remote = "0.0.0.0"
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        #: Whether some of it are whole frames, for the next turn of the loop.
        self._has_more_frames = False
        #: No more is read of it, as all connections hold too much.
        self._is_held = False
        #: The client sends nothing more.
        self._is_half_closed = False
        self._has_preface = False
        self._heads = HeadReader()
        self._calls: dict[int, Call] = {}
        self._last_id = 0
        #: The stream whose header block is incomplete, its flags, and the block so far.
        self._open_block: tuple[int, int, bytearray] | None = None
        self._continuations = 0
        self._receive_window = _CONNECTION_WINDOW_BYTES
        self._writer = AnswerWriter(self._on_sent, self.go_on)
        self._inflow = Inflow(owner.memory, self._writer, self._write, self._hold, self._on_room)
        self._pace = Pace()
        self._counts = FrameCounts()
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

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = self._writer.transport = cast(asyncio.Transport, transport)
        self.remote = remote_name(transport)
        self._owner.connections.add(self)
        values = {
            frames.MAX_CONCURRENT_STREAMS: self._inflow.max_streams,
            frames.INITIAL_WINDOW_SIZE: self._inflow.stream_window,
            frames.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
        }
        more = _CONNECTION_WINDOW_BYTES - frames.DEFAULT_WINDOW_BYTES
        self._write(frames.settings(values) + frames.window_update(0, more))

    @faults.ends_connection
    def connection_lost(self, error: Exception | None) -> None:
        self._transport = self._closing = None
        self._owner.forget(self)
        self._cancel_all()

    def _cancel_all(self) -> None:
        self._writer.close()
        self._inflow.close()
        while self._calls:
            _, call = self._calls.popitem()
            with faults.contained("connection", call.model, call.version):
                call.cancel()

    @faults.ends_connection
    def eof_received(self) -> bool:
        """A client may have closed its sending side alone and still wait for its answers: those get sent, if it can.

        Not over TLS, where the end of one side is that of both.
        """
        transport = self._transport
        if transport is None or transport.get_extra_info("ssl_object") is not None:
            return False
        self._is_half_closed = self._is_leaving = True
        for call in list(self._calls.values()):
            if call.is_receiving:
                # The rest of its messages cannot come.
                self._drop(call)
        if not self._calls or self._transport is None:
            return False
        self._probe(0)
        return True

    @faults.ends_connection
    def _probe(self, probes: int) -> None:
        """Find out whether a client that sends nothing more waits for its answers."""
        if self._transport is None:
            return
        if probes:
            self._write(frames.ping(_PING, is_answer=False))
        if probes < MAX_PROBES:
            asyncio.get_running_loop().call_later(PROBE_S, self._probe, probes + 1)

    @faults.ends_connection
    def pause_writing(self) -> None:
        self._writer.is_paused = True

    @faults.ends_connection
    def resume_writing(self) -> None:
        self._writer.is_paused = False
        self._send_waiting()

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self._pinged_at = None
        if self._has_more_frames:
            # It has had its turn.
            self._rest += data
        else:
            self._read_data(data)

    def _read_data(self, data: bytes) -> None:
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
        except Broken as broken:
            self._use_window()
            self._break(broken.code, broken.text)
            return
        except HPACKError:
            self._use_window()
            self._break(frames.COMPRESSION_ERROR, "a header block that cannot be read")
            return
        if at < len(data):
            self._rest = data[at:] if at else data
            if self._has_more_frames:
                self._wait_for_next_turn()
        self._use_window()
        if len(self._owner.connections) == 1:
            self._owner.dispatch_due()

    def _use_window(self) -> None:
        """Send what the frames of a read have made room for.

        Once for all that came: a walk through what waits for each frame would let a few bytes keep the loop busy.
        """
        if self._has_more_window:
            self._has_more_window = False
            self._send_waiting()

    def _wait_for_next_turn(self) -> None:
        """Let others have theirs: one read brings thousands of frames, and uvloop reads many times in a turn."""
        if self._transport is not None:
            self._transport.pause_reading()
            if not self._is_held:
                self._owner.turns.wait(self)

    @faults.ends_connection
    def read_on(self) -> None:
        """Its turn has come."""
        if self._transport is None or self._is_held:
            return
        self._has_more_frames = False
        self._read_data(b"")
        if self._transport is not None and not self._has_more_frames and not self._is_held:
            self._transport.resume_reading()

    def _hold(self, is_held: bool) -> None:
        """Read no more of it as long as all connections hold too much."""
        if is_held == self._is_held or self._transport is None:
            return
        self._is_held = is_held
        self._heard_at = time.monotonic()
        if is_held:
            self._transport.pause_reading()
        else:
            # In a turn of its own: this may be called from the middle of another connection's.
            self._owner.turns.wait(self)

    @faults.ends_connection
    def _on_room(self) -> None:
        self._inflow.on_room()

    def _send_waiting(self) -> None:
        self._writer.send_waiting()
        self._inflow.on_sent()

    def _read_preface(self, data: bytes) -> int:
        preface = frames.PREFACE
        if data.startswith(preface):
            self._has_preface = True
            return len(preface)
        if not preface.startswith(data):
            if self._transport is not None:
                self._transport.write(_HTTP1_ANSWER)
            raise Broken(frames.PROTOCOL_ERROR, "no HTTP/2 preface")
        self._rest = data
        return 0

    # Frames in

    def _read_frames(self, data: bytes, at: int) -> int:
        """Read all whole frames. Returns where the next one begins."""
        total = len(data)
        turns = self._owner.turns
        may_read = left = turns.left_for_each
        while total - at >= frames.HEADER_BYTES:
            if left <= 0 or self._is_held:
                self._has_more_frames = True
                break
            left -= 1
            high, low, kind, flags, stream_id = read_header(data, at)
            size = high << 8 | low
            start = at + frames.HEADER_BYTES
            end = start + size
            if size > frames.DEFAULT_FRAME_BYTES:
                raise Broken(frames.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            if end > total:
                break
            at = end
            stream_id &= frames.STREAM_MASK
            if self._open_block is not None and kind != frames.CONTINUATION:
                raise Broken(frames.PROTOCOL_ERROR, "a header block that is cut short")
            if kind == frames.DATA:
                self._on_data(stream_id, flags, data, start, end)
            elif kind == frames.HEADERS:
                self._on_headers(stream_id, flags, data[start:end])
            elif kind == frames.WINDOW_UPDATE:
                self._on_window_update(stream_id, data[start:end])
            else:
                self._on_other(kind, stream_id, flags, data[start:end])
            if self._transport is None:
                at = total
                break
        turns.spend(may_read - left)
        return at

    def _on_other(self, kind: int, stream_id: int, flags: int, payload: bytes) -> None:
        if kind == frames.CONTINUATION:
            self._on_continuation(stream_id, flags, payload)
            return
        self._counts.add_control()
        if kind == frames.PING:
            check(stream_id == 0 and len(payload) == 8, "ping")
            if not flags & frames.ACK:
                self._write(frames.ping(payload, is_answer=True))
        elif kind == frames.SETTINGS:
            self._on_settings(stream_id, flags, payload)
        elif kind == frames.RST_STREAM:
            check(0 < stream_id <= self._last_id and len(payload) == 4, "reset")
            call = self._calls.get(stream_id)
            if call is not None:
                self._drop(call)
        elif kind == frames.PRIORITY:
            check(stream_id > 0 and len(payload) == 5, "priority")
        elif kind == frames.GOAWAY:
            check(stream_id == 0 and len(payload) >= 8, "goaway")
            self._is_leaving = True
            self._end_if_done()
        elif kind == frames.PUSH_PROMISE:
            raise Broken(frames.PROTOCOL_ERROR, "a push from a client")

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        check(stream_id == 0, "settings")
        if flags & frames.ACK:
            check(not payload, "settings")
            return
        if len(payload) % 6:
            raise Broken(frames.FRAME_SIZE_ERROR, "settings")
        self._counts.add_control(len(payload) // 6)
        for number, value in dict(frames.read_settings(payload)).items():
            if number == frames.INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW_BYTES:
                    raise Broken(frames.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
                for call in self._calls.values():
                    call.send_window += value - self._writer.stream_window
                self._writer.stream_window = value
            elif number == frames.MAX_FRAME_SIZE:
                is_valid = frames.DEFAULT_FRAME_BYTES <= value <= frames.LARGEST_FRAME_BYTES
                check(is_valid, "largest frame")
                self._writer.frame_bytes = value
        self._write(frames.SETTINGS_ACK)
        self._has_more_window = True

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(frames.FRAME_SIZE_ERROR, "window")
        more = frames.read_word(payload)
        check(more > 0 and stream_id <= self._last_id, "window")
        if more < SMALL_WINDOW_BYTES:
            self._counts.add_small()
        if stream_id == 0:
            self._writer.window += more
            if self._writer.window > frames.MAX_WINDOW_BYTES:
                raise Broken(frames.FLOW_CONTROL_ERROR, "a window larger than its limit")
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
            payload = without_padding(payload, flags)
            if flags & frames.HAS_PRIORITY:
                check(len(payload) >= 5, "priority")
                payload = payload[5:]
        if not stream_id & 1:
            raise Broken(frames.PROTOCOL_ERROR, f"a call on stream {stream_id}")
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, payload)
        else:
            self._open_block = (stream_id, flags, bytearray(payload))
            self._continuations = 0

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        self._continuations += 1
        if self._open_block is None or self._open_block[0] != stream_id:
            raise Broken(frames.PROTOCOL_ERROR, "a continuation without headers")
        _, first_flags, block = self._open_block
        block += payload
        if len(block) > MAX_HEADER_LIST_BYTES or self._continuations > _MAX_CONTINUATIONS:
            raise Broken(frames.ENHANCE_YOUR_CALM, "headers larger than their limit")
        if flags & frames.END_HEADERS:
            self._open_block = None
            self._on_block(stream_id, first_flags, bytes(block))

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        is_end = bool(flags & frames.END_STREAM)
        if stream_id <= self._last_id:
            self._heads.skip(block)
            call = self._calls.get(stream_id)
            if call is not None:
                if is_end and call.is_receiving:
                    call.is_receiving = False
                    call.feed(b"", True)
                else:
                    self._reset(call, frames.PROTOCOL_ERROR)
            return
        if self._is_leaving:
            # The client was told, and tries it elsewhere.
            self._heads.skip(block)
            return
        self._last_id = stream_id
        if len(self._calls) >= self._inflow.max_streams:
            self._heads.skip(block)
            self._counts.add_control()
            self._write(frames.rst_stream(stream_id, frames.REFUSED_STREAM))
            return
        try:
            head = self._heads.read(block)
        except MalformedHead:
            self._counts.add_control()
            self._write(frames.rst_stream(stream_id, frames.PROTOCOL_ERROR))
            return
        except NoCall as error:
            self._counts.add_control()
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
            self._inflow.stream_window,
        )
        call.is_receiving = not is_end
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
        # Filled up at half, and by far larger than a frame, so that a client cannot exceed it.
        self._receive_window -= size
        if self._receive_window <= _CONNECTION_WINDOW_BYTES // 2:
            more = _CONNECTION_WINDOW_BYTES - self._receive_window
            self._receive_window += more
            self._write(frames.window_update(0, more))
        is_end = bool(flags & frames.END_STREAM)
        if size < SMALL_DATA_BYTES and not is_end:
            if size:
                self._counts.add_small()
            else:
                self._counts.add_control()
        call = self._calls.get(stream_id)
        if call is None:
            check(0 < stream_id <= self._last_id or self._is_leaving, "data")
            return
        if not call.is_receiving:
            self._reset(call, frames.STREAM_CLOSED)
            return
        if (
            is_end
            and size >= PREFIX_BYTES
            and not flags & frames.PADDED
            and call.receive_window == self._inflow.stream_window
            and call.method is not None
            and call.method.begin is not None
        ):
            is_compressed, message_size = read_prefix(data, start)
            if not is_compressed and message_size == size - PREFIX_BYTES:
                call.is_receiving = False
                if message_size > self._owner.max_message_bytes:
                    call.finish(too_large(message_size, self._owner.max_message_bytes))
                elif not call.is_ended:
                    call.begin(data[start + PREFIX_BYTES : end])
                return
        call.receive_window -= size
        if call.receive_window < 0:
            self._reset(call, frames.FLOW_CONTROL_ERROR)
            return
        payload = data[start:end]
        if flags & frames.PADDED:
            payload = without_padding(payload, flags)
        if is_end:
            call.is_receiving = False
        call.feed(payload, is_end)
        if not is_end and not call.is_ended:
            self._inflow.on_data(call)

    # Answers out

    def send(self, call: Call, message: bytes, trailers: bytes | None) -> None:
        if call.stream_id not in self._calls:
            return
        if call.is_begun and message:
            self._owner.memory.note_answer(call.model, len(message))
        self._writer.send(call, message, trailers)
        if trailers is not None:
            self._inflow.forget(call)
        if self._writer.waiting_bytes:
            self._inflow.note()

    def begin(self, call: Call, body: Buffer | Inflation) -> None:
        self._inflow.begin(call, body)

    def unfold(self, call: Call, inflation: Inflation) -> None:
        self._inflow.unfold(call, inflation)

    def go_on(self, call: Call) -> None:
        call.go_on()
        if call.is_receiving and not call.is_ended:
            self._inflow.on_data(call)

    def _on_sent(self, call: Call) -> None:
        """All of a call is sent. What its client may still send of it is thrown away."""
        self._calls.pop(call.stream_id, None)
        if call.is_receiving:
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
        """A client can have this server end calls as fast as it could itself."""
        self._counts.add_control()
        self._write(frames.rst_stream(call.stream_id, code))
        self._drop(call)

    def _drop(self, call: Call) -> None:
        """Nobody wants the answer of this call any more."""
        self._calls.pop(call.stream_id, None)
        self._writer.drop(call)
        call.cancel()
        self._inflow.forget(call)
        self._end_if_done()

    def _write(self, data: bytes) -> None:
        if not self._writer.write(data):
            self._break(frames.ENHANCE_YOUR_CALM, "answers that nobody reads")

    def _break(self, code: int, text: str) -> None:
        """The connection cannot go on."""
        transport = self._transport
        if transport is None:
            return
        if self._has_preface:
            transport.write(frames.goaway(self._last_id, code, text))
        self._close_transport(transport)
        self._cancel_all()

    # Its end

    def check_time(self, now: float) -> None:
        """Called every second: ask a silent client whether it is there, and end what does not answer."""
        self._counts.begin_second()
        transport = self._transport
        if transport is None:
            if self._closing is not None and now - self._closing_at > _CLOSE_S:
                self._closing.abort()
            return
        silent_s = now - self._heard_at
        if not self._writer.has_waiting:
            self._pace.rest()
        elif self._pace.is_too_slow(
            now,
            self._writer.taken_bytes,
            self._inflow.spare_s(self._owner.keep_alive_timeout_s),
        ):
            transport.abort()
            return
        spare_s = self._inflow.spare_s(self._owner.body_timeout_s)
        waits_for_us = self._is_held or self._inflow.is_waiting
        for call in list(self._calls.values()):
            call.end_if_slow(now, spare_s, self._owner.body_timeout_s, waits_for_us=waits_for_us)
        if self._is_half_closed or self._is_held:
            # It can answer no ping, or would not be heard.
            return
        if not self._has_preface:
            if silent_s > self._owner.head_timeout_s:
                transport.abort()
        elif self._pinged_at is not None:
            if now - self._pinged_at > _PING_ANSWER_S:
                transport.abort()
        elif silent_s > self._owner.keep_alive_timeout_s:
            self._pinged_at = now
            self._write(frames.ping(_PING, is_answer=False))

    @faults.ends_connection
    def leave(self) -> None:
        """Take no more calls; end with the last answer. A client tries calls that cross this one elsewhere."""
        if self._is_leaving or self._transport is None:
            return
        self._is_leaving = True
        if self._has_preface:
            self._write(frames.goaway(self._last_id, frames.NO_ERROR, "the server stops"))
        for call in list(self._calls.values()):
            call.leave()
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
