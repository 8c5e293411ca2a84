"""What a collector that fails or hangs costs: the spans that it does not take, which are counted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

import pytest
from support.waiting import eventually

from mms.tracing.export import GRPC, SpanExport, endpoint_of, make_exporter
from mms.tracing.spans import FinishedSpan
from mms.wire.trace_context import TraceContext

pytest.importorskip("opentelemetry.sdk", reason='needs pip install "marserve[otel]"')
from opentelemetry.sdk.trace.export import SpanExportResult


def span(number: int = 1) -> FinishedSpan:
    return FinishedSpan(
        "request", TraceContext(1, number, True), None, 1.0, 2.0, {"mms.model": "m"}
    )


class _Collector:
    """Stands for the SDK's exporter."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked = threading.Event()
        #: What was made to send to it.
        self.exports: list[SpanExport] = []
        self.result: Any = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[Any]) -> Any:
        self.asked.set()
        self.goes_on.wait()
        if isinstance(self.result, Exception):
            raise self.result
        self.taken += spans
        return self.result

    def shutdown(self) -> None:
        self.goes_on.set()


@pytest.fixture
def collector() -> Iterator[_Collector]:
    collector = _Collector()
    yield collector
    collector.goes_on.set()
    for export in collector.exports:
        # One that still runs keeps the SDK's logger from the log of the next test.
        export.close(0.0)
        eventually("it is over", lambda export=export: export._is_over)


def export_to(collector: Any, capacity: int = 10) -> SpanExport:
    export = SpanExport(
        lambda: collector, capacity=capacity, service_name="s", where="there", interval_s=0.01
    )
    export.start()
    if isinstance(collector, _Collector):
        collector.exports.append(export)
    return export


def test_a_collector_that_hangs_costs_what_finds_the_queue_full(collector: _Collector) -> None:
    collector.goes_on.clear()
    export = export_to(collector)
    export.add(span())
    assert collector.asked.wait(10)
    for number in range(1, 31):
        export.add(span(number))
    assert (export.waiting, export.dropped) == (10, 20)
    export.close(0.0)
    assert export.dropped == 30


def test_the_end_waits_no_longer_than_it_may_and_counts_what_is_under_way(
    collector: _Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.goes_on.clear()
    collector.shutdown = lambda: None  # type: ignore[method-assign]  # it hangs for good
    export = export_to(collector)
    export.add(span())
    assert collector.asked.wait(10.0)
    for number in range(2):
        export.add(span(number))
    export.close(0.01)
    assert caplog.messages == ["3 spans of traces did not reach there."]


def test_the_end_does_not_wait_for_a_collector_that_is_tried_again(
    collector: _Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK tries for ten seconds to reach a collector that is gone."""

    def try_again(_: Any) -> Any:
        logging.getLogger("opentelemetry.exporter").warning("refused, retrying in 1.00s.")
        collector.asked.set()
        collector.goes_on.wait()
        return SpanExportResult.FAILURE

    collector.goes_on.clear()
    collector.export = try_again  # type: ignore[method-assign]
    export = export_to(collector)
    export.add(span())
    assert collector.asked.wait(10.0)
    began = time.monotonic()
    export.close(20.0)
    assert time.monotonic() - began < 10
    assert caplog.messages == ["1 spans of traces did not reach there: refused, retrying in 1.00s."]


def test_the_end_does_not_wait_for_a_collector_that_did_not_take_the_message_before(
    collector: _Collector,
) -> None:
    collector.result = SpanExportResult.FAILURE
    export = export_to(collector)
    export.add(span())
    eventually("counted", lambda: export.failed == 1)
    collector.goes_on.clear()
    collector.asked.clear()
    export.add(span())
    assert collector.asked.wait(10.0)
    began = time.monotonic()
    export.close(20.0)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, ValueError("odd")])
def test_spans_that_are_not_taken_are_counted_and_the_next_ones_sent(
    collector: _Collector, result: Any
) -> None:
    collector.result = result
    export = export_to(collector)
    export.add(span())
    eventually("counted", lambda: export.failed == 1)
    collector.result = SpanExportResult.SUCCESS
    export.add(span(2))
    export.close(10.0)
    assert (export.exported, export.failed, export.dropped) == (1, 1, 0)


def test_what_the_sdk_says_of_each_message_is_said_once(
    collector: _Collector, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Any) -> Any:
        logging.getLogger("opentelemetry.exporter").error("refused: 404")
        return SpanExportResult.FAILURE

    collector.export = refuse  # type: ignore[method-assign]
    export = export_to(collector)
    for count in (1, 2):
        export.add(span())
        eventually("counted", lambda count=count: export.failed == count)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "The collector at there did not take 1 spans of traces, which are lost: refused: 404"
    ]
    export.close(10.0)


def test_what_waits_at_the_end_is_sent(collector: _Collector) -> None:
    export = export_to(collector)
    for number in range(1, 6):
        export.add(span(number))
    export.close(10.0)
    assert [found.context.span_id for found in collector.taken] == [1, 2, 3, 4, 5]
    assert collector.taken[0].end_time - collector.taken[0].start_time == pytest.approx(
        1e9, abs=1e3
    )


def test_an_address_without_a_path_gets_the_usual_one() -> None:
    assert endpoint_of("http://h:4318", "http") == "http://h:4318/v1/traces"
    assert endpoint_of("http://h:4318/", "http") == "http://h:4318/v1/traces"
    assert endpoint_of("https://h/otlp/traces", "http") == "https://h/otlp/traces"
    assert endpoint_of("http://h:4317", GRPC) == "http://h:4317"


def test_a_collector_of_grpc_gets_the_spans() -> None:
    grpc = pytest.importorskip("grpc", reason='needs pip install "marserve[grpc]"')
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
        TraceServiceServicer,
        add_TraceServiceServicer_to_server,
    )

    received: list[Any] = []

    class Service(TraceServiceServicer):  # type: ignore[misc]
        def Export(self, request: Any, context: Any) -> Any:
            received.append(request)
            return messages.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        export = export_to(make_exporter(f"http://127.0.0.1:{port}", GRPC))
        export.add(span(7))
        export.close(10.0)
    finally:
        server.stop(None).wait()
    (of_resource,) = received[0].resource_spans
    (found,) = of_resource.scope_spans[0].spans
    assert found.name == "request" and int.from_bytes(found.span_id, "big") == 7
