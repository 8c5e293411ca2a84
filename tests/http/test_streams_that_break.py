"""An answer that comes in parts, and whose server runs into something in the middle of it."""

from __future__ import annotations

from typing import Any

import pytest

from mms.core import Request
from mms.core.streams.open_stream import OpenStream
from mms.core.streams.replies import begin_stream
from mms.errors import WorkerFailure
from mms.http.streams.form import StreamForm


@pytest.mark.parametrize("protocol", [b"HTTP/1.1", b"HTTP/1.0"])
async def test_no_other_answer_stands_within_one_that_has_begun(
    bench: Any, monkeypatch: pytest.MonkeyPatch, protocol: bytes
) -> None:
    def break_on_second(form: StreamForm, body: bytes) -> bytes:
        if body == b"second":
            raise TypeError("unforeseen")
        return body

    def stream(request: Request) -> None:
        opened = OpenStream(1, request, 0.0, lambda number, more: None)
        assert begin_stream(request, (200, b"", b""), opened, 1 << 20)
        request.send_chunk(b"first")

        def go_on() -> None:
            opened.use(b"second", 0.0)
            request.send_chunk(b"second")

        bench.host.go_on = go_on

    monkeypatch.setattr(StreamForm, "chunk", break_on_second)
    bench.host.on_submit = stream
    reader, writer = await bench.connect()
    writer.write(b"GET /predictions/m %b\r\nHost: h\r\n\r\n" % protocol)
    came = await reader.readuntil(b"first")
    bench.host.go_on()
    try:
        came += await reader.read()
        ended_in_order = protocol == b"HTTP/1.0"
    except ConnectionResetError:
        ended_in_order = False
    assert came.count(b"HTTP/1.") == 1
    assert not ended_in_order and not came.endswith(b"0\r\n\r\n")


async def test_what_came_in_the_turn_of_a_failure_still_goes_out(bench: Any) -> None:
    def stream(request: Request) -> None:
        opened = OpenStream(1, request, 0.0, lambda number, more: None)
        assert begin_stream(request, (200, b"", b""), opened, 1 << 20)
        request.send_chunk(b"first")
        request.fail(WorkerFailure("broken"))

    bench.host.on_submit = stream
    reader, writer = await bench.connect()
    writer.write(b"GET /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n")
    came = await reader.read()
    assert came.startswith(b"HTTP/1.1 200 ")
    assert came.endswith(b"\r\n\r\n5\r\nfirst\r\n")
