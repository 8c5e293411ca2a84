"""A load generator for unary gRPC calls, as lean as wrk is for HTTP/1.1: `python -m benchmarks.grpc_load ...`.

Each connection has one call under way. What is sent was made before: a header block without references to HPACK's
dynamic table means the same on every stream. An answer counts as right when its message holds the expected bytes.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

from benchmarks.deployment import Call
from benchmarks.load import TIMEOUT_S, Figures, LoadFailed, parse_figures
from benchmarks.places import ROOT

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK = END_STREAM = 1
_END_HEADERS = 4
_INITIAL_WINDOW_SIZE = 4
_LARGE_WINDOW = 2**31 - 1 - 65535
_FRAME_BYTES = 16384
#: Stream ids of one connection end here; a run is over long before.
_LAST_STREAM = 2**31 - 3


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        struct.pack("!I", len(payload))[1:]
        + bytes((kind, flags))
        + struct.pack("!I", stream)
        + payload
    )


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a header that is not indexed, in HPACK; both shorter than 127 bytes."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def _call_parts(path: str, message: bytes) -> tuple[bytes, list[bytes]]:
    """Return (header block, payloads of DATA frames) of one call."""
    block = b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http of the static table
            _literal(b":path", path.encode()),
            _literal(b":authority", b"localhost"),
            _literal(b"content-type", b"application/grpc"),
            _literal(b"te", b"trailers"),
        )
    )
    data = b"\0" + struct.pack("!I", len(message)) + message
    return block, [data[at : at + _FRAME_BYTES] for at in range(0, len(data), _FRAME_BYTES)]


class Caller(asyncio.Protocol):
    """One connection; counts what comes back."""

    def __init__(self, path: str, message: bytes, expected: bytes) -> None:
        self.latencies_us: list[float] = []
        self.wrong = 0
        self.received_bytes = 0
        self.is_lost = False
        self._block, self._payloads = _call_parts(path, message)
        self._expected = expected
        self._buffer = b""
        self._answer: list[bytes] = []
        self._stream = 1
        self._unacknowledged = 0
        self._window = 65535
        self._stream_window = 65535
        self._initial_window = 65535
        self._unsent: list[bytes] = []
        self._started_s = 0.0
        self._is_over = False
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = struct.pack("!HI", _INITIAL_WINDOW_SIZE, _LARGE_WINDOW)
        self._transport.write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW, 0, 0, struct.pack("!I", _LARGE_WINDOW))
        )
        self._call()

    async def stop(self) -> None:
        """Give up the call that is under way, and wait for the end of the connection."""
        self._is_over = True
        self._transport.abort()
        await self._lost.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = not self._is_over
        self._lost.set()

    def _call(self) -> None:
        self._started_s = time.perf_counter()
        self._answer = []
        self._stream_window = self._initial_window
        self._unsent = list(self._payloads)
        head = _frame(_HEADERS, _END_HEADERS, self._stream, self._block)
        self._transport.write(head + self._next_data())

    def _next_data(self) -> bytes:
        """Return the DATA frames that the server's windows allow."""
        frames = []
        while self._unsent and len(self._unsent[0]) <= min(self._window, self._stream_window):
            payload = self._unsent.pop(0)
            self._window -= len(payload)
            self._stream_window -= len(payload)
            flags = 0 if self._unsent else END_STREAM
            frames.append(_frame(_DATA, flags, self._stream, payload))
        return b"".join(frames)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        data = self._buffer + data
        at = 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            stop = at + 9 + length
            if stop > len(data):
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._take(kind, flags, stream, data[at + 9 : stop])
            at = stop
        self._buffer = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._answer.append(payload)
            self._unacknowledged += len(payload)
            if self._unacknowledged > 1 << 24:
                window = struct.pack("!I", self._unacknowledged)
                self._transport.write(_frame(_WINDOW, 0, 0, window))
                self._unacknowledged = 0
        elif kind == _SETTINGS and not flags & _ACK:
            self._heed(payload)
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
            elif stream == self._stream:
                self._stream_window += int.from_bytes(payload, "big")
            if self._unsent:
                self._transport.write(self._next_data())
        elif kind == _GOAWAY:
            self._transport.close()
        if stream == self._stream and (
            kind == _RESET or (kind in (_DATA, _HEADERS) and flags & END_STREAM)
        ):
            self._finish()

    def _heed(self, settings: bytes) -> None:
        for at in range(0, len(settings) - 5, 6):
            name, value = struct.unpack_from("!HI", settings, at)
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial_window
                self._initial_window = value
        if self._unsent:
            self._transport.write(self._next_data())

    def _finish(self) -> None:
        message = b"".join(self._answer)[5:]
        if self._expected in message:
            self.latencies_us.append((time.perf_counter() - self._started_s) * 1e6)
        else:
            self.wrong += 1
        self._stream += 2
        if self._is_over or self._stream > _LAST_STREAM:
            self._transport.close()
        else:
            self._call()


async def drive_calls(
    port: int, path: str, message: bytes, expected: bytes, connections: int, duration_s: float
) -> dict[str, float]:
    """Return the figures of wrk's script, for calls of one method of the server on this machine."""
    loop = asyncio.get_running_loop()
    callers = [Caller(path, message, expected) for _ in range(connections)]
    started_s = time.perf_counter()
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.sleep(duration_s - (time.perf_counter() - started_s))
    elapsed_s = time.perf_counter() - started_s
    await asyncio.gather(*(caller.stop() for caller in callers))
    latencies = sorted(value for caller in callers for value in caller.latencies_us)
    count = len(latencies)

    def percentile(share: float) -> float:
        return latencies[min(count - 1, int(count * share))] if count else 0.0

    return {
        "requests": count,
        "duration_us": elapsed_s * 1e6,
        "received_bytes": sum(caller.received_bytes for caller in callers),
        "connect_errors": 0,
        "read_errors": sum(caller.is_lost for caller in callers),
        "write_errors": 0,
        "timeouts": 0,
        "bad_statuses": sum(caller.wrong for caller in callers),
        "p50_us": percentile(0.5),
        "p90_us": percentile(0.9),
        "p99_us": percentile(0.99),
        "max_us": latencies[-1] if count else 0.0,
    }


def drive(
    port: int, call: Call, connections: int, duration_s: float, scratch_folder: Path
) -> Figures:
    """Load the port of this machine for that time, from a process of its own. Raises LoadFailed."""
    message, expected = scratch_folder / "message", scratch_folder / "expected"
    message.write_bytes(call.message)
    expected.write_bytes(call.expected)
    command = [
        sys.executable,
        "-m",
        __spec__.name,
        str(port),
        call.path,
        str(message),
        str(expected),
    ]
    command += [str(connections), str(duration_s)]
    try:
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            timeout=duration_s + TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed("the gRPC load did not come to an end") from None
    return parse_figures(finished.stdout, finished.stderr)


def main() -> None:
    import uvloop

    port, path, message, expected, connections, duration_s = sys.argv[1:]
    figures = uvloop.run(
        drive_calls(
            int(port),
            path,
            Path(message).read_bytes(),
            Path(expected).read_bytes(),
            int(connections),
            float(duration_s),
        )
    )
    print("BENCH " + json.dumps(figures))


if __name__ == "__main__":
    main()
