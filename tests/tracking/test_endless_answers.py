"""What an endpoint costs whose answers have no end: a connection, and neither memory nor the thread that asks."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from mms.text.answer_bodies import MOST_BYTES, read_start
from mms.tracking.http_sink import HttpSink

#: As much as no reader of a first part takes.
_ENOUGH_BYTES = 64 << 20


class EndlessEndpoint:
    """Answers each request with a body that ends only where its reader does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.status = "200 OK"
        #: How many bytes each connection took, up to `_ENOUGH_BYTES`.
        self.taken: list[int] = []
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        sent = 0
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            while sent < _ENOUGH_BYTES:
                sent += connection.send(b"x" * 65536)
        self.taken.append(sent)
        self.ended.release()


@pytest.fixture
def endpoint() -> Iterator[EndlessEndpoint]:
    made = EndlessEndpoint()
    yield made
    made.close()


def test_a_record_is_delivered_by_the_status_of_an_answer_without_end(
    endpoint: EndlessEndpoint,
) -> None:
    sink = HttpSink(endpoint.url)
    sink.write([b"1", b"2"])
    sink.close()
    for _ in range(2):
        assert endpoint.ended.acquire(timeout=20)
    assert max(endpoint.taken) < _ENOUGH_BYTES


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_spans_are_sent_to_a_collector_whose_answer_has_no_end(
    endpoint: EndlessEndpoint, status: str
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason='needs pip install "marserve[otel]"')
    from mms.tracing.export import HTTP, SpanExport, make_exporter
    from mms.tracing.spans import FinishedSpan
    from mms.wire.trace_context import TraceContext

    endpoint.status = status
    export = SpanExport(
        lambda: make_exporter(endpoint.url, HTTP),
        capacity=10,
        service_name="s",
        where="there",
        interval_s=0.01,
    )
    export.start()
    export.add(FinishedSpan("request", TraceContext(1, 1, True), None, 1.0, 2.0, {}))
    assert endpoint.ended.acquire(timeout=20)
    export.close(10.0)
    assert (export.exported, export.failed) == ((1, 0) if status.startswith("200") else (0, 1))
    assert max(endpoint.taken) < _ENOUGH_BYTES


def test_a_start_is_read_until_its_size_its_time_or_its_end() -> None:
    whole = iter([b"ab", b"c", b""])
    assert read_start(lambda _: next(whole), float("inf")) == (b"abc", True)
    sizes = []

    def endless(size: int) -> bytes:
        sizes.append(size)
        return b"x" * min(size, 50_000)

    assert len(read_start(endless, float("inf")).data) == MOST_BYTES
    assert sizes == [MOST_BYTES, MOST_BYTES - 50_000]
    assert read_start(endless, 0.0) == (b"", False)
