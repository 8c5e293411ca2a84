"""The parts of an answer over gRPC: a model is asked for more once its client has taken them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mms.core import Request
from mms.core.streams.open_stream import OpenStream
from mms.core.streams.replies import begin_stream
from mms.interfaces.torchserve.front.grpc import _PartsReply
from mms.wire.streams import WINDOW_BYTES


def test_a_client_that_takes_nothing_is_not_looked_at_until_it_does() -> None:
    # Outside an event loop: nothing here can wait by a timer.
    grants: list[int] = []
    call: Any = SimpleNamespace(outgoing=[], is_ended=False, on_taken=None)
    call.send = call.outgoing.append
    reply = _PartsReply(call)
    request = Request(b"1", "m", None, False, b"", b"", b"", b"", reply, 0.0)
    stream = OpenStream(1, request, 0.0, lambda number, more: grants.append(more))
    assert begin_stream(request, (200, b"", b""), stream, 1 << 20)
    part = b"x" * WINDOW_BYTES
    stream.use(part, 0.0)
    assert request.send_chunk(part)
    assert not grants
    call.outgoing.clear()
    call.on_taken()
    [more] = grants
    assert more >= WINDOW_BYTES
