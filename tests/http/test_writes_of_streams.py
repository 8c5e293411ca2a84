"""Parts that come in one turn of the event loop share a system call, and wait for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from mms.core import Request
from mms.core.streams.open_stream import OpenStream
from mms.core.streams.replies import begin_stream
from mms.http.lane.connection import LaneProtocol


async def test_parts_of_one_turn_are_written_together_and_before_the_next_one(
    make_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make_bench(lane=True)
    written: list[bytes] = []
    write_part = LaneProtocol.write_part

    def note(connection: LaneProtocol, data: bytes) -> bool:
        written.append(data)
        return write_part(connection, data)

    def stream(request: Request) -> None:
        opened = OpenStream(1, request, 0.0, lambda number, more: None)
        assert begin_stream(request, (200, b"", b""), opened, 1 << 20)
        request.send_chunk(b"first")
        request.send_chunk(b"second")
        bench.host.go_on = request.end_stream

    monkeypatch.setattr(LaneProtocol, "write_part", note)
    bench.host.on_submit = stream
    reader, writer = await bench.connect()
    writer.write(b"GET /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n")
    came = await reader.readuntil(b"second\r\n")
    bench.host.go_on()
    came += await reader.readuntil(b"0\r\n\r\n")

    assert len(written) == 1
    assert came.endswith(b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n")
