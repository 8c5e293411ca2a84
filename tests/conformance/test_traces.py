"""Traces, black box: what a collector gets by OTLP, and `traceparent` on its way through the server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from support.client import in_parallel
from support.server import Server, ServerPool, manifest
from support.waiting import eventually

pytest.importorskip("opentelemetry.sdk", reason='needs pip install "marserve[otel]"')
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.better_than_mms

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HANDLER = """
import logging
import threading
def handle(data, context):
    if data is None:
        return None
    logging.getLogger("my.model").info("at work")
    thread = threading.Thread(target=logging.info, args=("beside it",))
    thread.start()
    thread.join()
    if data[0].get("body") == b"fail":
        raise ValueError("no")
    return [context.get_request_header(i, "traceparent") or "none" for i in range(len(data))]
"""
STREAMER = """
def handle(data, context):
    if data is None:
        return None
    def parts():
        yield "a"
        yield "b"
    return [parts() for _ in data]
"""


class Collector:
    """Takes spans as a collector does, and stands for a node of a graph that is elsewhere."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.of_node: list[str | None] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = b""
                if self.path == "/v1/traces":
                    owner.take(body)
                else:
                    owner.of_node.append(self.headers["traceparent"])
                    answer = b'{"strData":"y"}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def take(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for attribute in of_resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for of_scope in of_resource.scope_spans:
                self.spans += of_scope.spans

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def spans_of(self, trace_id: str, *names: str) -> dict[str, Any]:
        """Wait for these spans of a trace, one of each name."""

        def found() -> dict[str, Any] | None:
            spans = [span for span in self.spans if span.trace_id.hex() == trace_id]
            assert len({span.span_id for span in spans}) == len(spans)
            by_name = {span.name: span for span in spans}
            return by_name if set(names) <= set(by_name) else None

        spans: dict[str, Any] = eventually(f"spans {names} of {trace_id}", found)
        return spans


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def server(servers: ServerPool, collector: Collector) -> Iterator[Server]:
    settings = {
        "default_workers_per_model": "1",
        "otlp_endpoint": f"http://127.0.0.1:{collector.port}",
        "trace_service_name": "shop",
        "log_layout": "json",
        "trace_access_log": "true",
    }
    server = Server(servers.new_directory(), settings)
    server.write_model("traced", HANDLER, manifest("traced"))
    server.write_model("parts", STREAMER, manifest("parts"))
    server.start()
    for name, size in (("traced", 1), ("parts", 1), ("batched", 4)):
        reply = server.register(
            "traced" if name == "batched" else name,
            model_name=name,
            batch_size=size,
            max_batch_delay=2000,
            batch_policy="fixed",
            initial_workers=1,
            synchronous="true",
        )
        assert reply.status == 200, reply
    yield server
    server.stop()


def attributes_of(span: Any) -> dict[str, Any]:
    return {
        found.key: getattr(found.value, found.value.WhichOneof("value"))
        for found in span.attributes
    }


def test_a_request_is_a_trace_of_its_parts(server: Server, collector: Collector) -> None:
    reply = server.inference.post("/predictions/traced", "x")
    assert reply.status == 200, reply
    version, trace_id, span_id, flags = reply.text.split("-")
    assert (version, flags) == ("00", "01")
    spans = collector.spans_of(trace_id, "request", "queue", "batch", "handler")
    request, queue, batch, handler = (
        spans[name] for name in ("request", "queue", "batch", "handler")
    )
    assert request.span_id.hex() == span_id
    assert queue.parent_span_id == batch.parent_span_id == request.span_id
    assert handler.parent_span_id == batch.span_id
    assert [link.span_id for link in batch.links] == [request.span_id]
    assert queue.start_time_unix_nano == request.start_time_unix_nano
    assert batch.start_time_unix_nano <= handler.start_time_unix_nano
    assert handler.end_time_unix_nano == batch.end_time_unix_nano
    attributes = attributes_of(request)
    assert attributes["mms.model"] == "traced"
    assert attributes["http.response.status_code"] == 200
    assert attributes["mms.request_id"] == reply.header("x-request-id")
    assert collector.services == {"shop"}


def test_the_client_s_trace_goes_on(server: Server, collector: Collector) -> None:
    trace_id = f"{1:032x}"
    header = f"00-{trace_id}-{SPAN}-01"
    reply = server.inference.post("/predictions/traced", "x", headers={"Traceparent": header})
    assert reply.text.startswith(f"00-{trace_id}-") and SPAN not in reply.text
    assert collector.spans_of(trace_id, "request")["request"].parent_span_id.hex() == SPAN


def test_what_the_client_does_not_trace_is_not_traced(server: Server, collector: Collector) -> None:
    header = f"00-{TRACE}-{SPAN}-00"
    reply = server.inference.post("/predictions/traced", "x", headers={"traceparent": header})
    assert reply.text == header
    later = server.inference.post("/predictions/traced", "x").text.split("-")[1]
    collector.spans_of(later, "request", "handler")
    assert not [span for span in collector.spans if span.trace_id.hex() == TRACE]


def test_requests_of_a_batch_are_linked_to_it(server: Server, collector: Collector) -> None:
    replies = in_parallel(
        [lambda: server.inference.post("/predictions/batched", "x") for _ in range(4)]
    )
    traces = {reply.text.split("-")[1]: reply.text.split("-")[2] for reply in replies}
    handlers = [collector.spans_of(trace, "handler", "queue")["handler"] for trace in traces]
    (batch_id,) = {handler.links[0].span_id for handler in handlers}
    (batch,) = [span for span in collector.spans if span.span_id == batch_id]
    assert batch.name == "batch" and not batch.parent_span_id
    assert {link.trace_id.hex(): link.span_id.hex() for link in batch.links} == traces


def test_a_stream_has_a_span_until_its_end(server: Server, collector: Collector) -> None:
    trace_id = f"{2:032x}"
    header = f"00-{trace_id}-{SPAN}-01"
    reply = server.inference.post("/predictions/parts", "x", headers={"traceparent": header})
    assert reply.text == "ab"
    spans = collector.spans_of(trace_id, "request", "batch")
    assert attributes_of(spans["request"])["http.response.status_code"] == 200


def test_nodes_of_a_graph_here_and_elsewhere_are_spans(
    server: Server, collector: Collector
) -> None:
    remote = {
        "name": "remote",
        "type": "MODEL",
        "endpoint": {"service_host": "127.0.0.1", "service_port": collector.port, "type": "REST"},
        "children": [],
    }
    (server.store / "pair.yaml").write_text(
        json.dumps({"name": "traced", "type": "MODEL", "children": [remote]}), encoding="utf-8"
    )
    reply = server.register("pair.yaml", model_name="pair")
    assert reply.status == 200, reply
    trace_id = f"{3:032x}"
    header = f"00-{trace_id}-{SPAN}-01"
    server.inference.post(
        "/seldon/pair/api/v1.0/predictions",
        json.dumps({"strData": "x"}),
        content_type="application/json",
        headers={"traceparent": header},
    )
    collector.spans_of(trace_id, "handler", "node", "request")
    eventually(
        "the span of the graph, which ends last",
        lambda: [s for s in collector.spans if s.parent_span_id.hex() == SPAN],
    )
    spans = [span for span in collector.spans if span.trace_id.hex() == trace_id]
    nodes = {attributes_of(span)["mms.node"]: span for span in spans if span.name == "node"}
    (outer,) = [span for span in spans if span.parent_span_id.hex() == SPAN]
    assert {span.parent_span_id for span in nodes.values()} == {outer.span_id}
    assert collector.of_node[-1] == f"00-{trace_id}-{nodes['remote'].span_id.hex()}-01"
    inner = [
        s for s in spans if s.name == "request" and s.parent_span_id == nodes["traced"].span_id
    ]
    assert len(inner) == 1


def test_lines_of_a_request_name_its_trace(server: Server) -> None:
    trace_id = f"{4:032x}"
    header = f"00-{trace_id}-{SPAN}-01"
    reply = server.inference.post("/predictions/traced", "fail", headers={"traceparent": header})
    assert reply.status == 503
    server.wait_for_log("access_log.log", trace_id)
    server.wait_for_log("mms_log.log", "ValueError: no")
    records = [json.loads(line) for line in server.log("mms_log.log").splitlines()]
    traced = {r["message"]: r for r in records if r.get("trace_id") == trace_id}
    (access,) = [found for found in traced.values() if "status" in found]
    assert access["status"] == 503 and access["uri"] == "/predictions/traced"
    assert traced["at work"]["logger"] == "my.model" and traced["at work"]["model"] == "traced"
    assert {found["span_id"] for found in traced.values()} == {access["span_id"]}
    (failed,) = [message for message in traced if message.startswith("Model traced failed for")]
    assert failed.endswith(f"{reply.header('x-request-id')}:")
    assert "beside it" not in traced
    assert any(r["message"] == "beside it" for r in records)


def test_every_record_of_each_log_is_an_object(server: Server) -> None:
    server.inference.post("/predictions/traced?q=%22%0A", "x")
    server.wait_for_log("access_log.log", "q=%22%0A")
    for name in ("access_log.log", "mms_log.log", "model_metrics.log", "mms_metrics.log"):
        records = [json.loads(line) for line in server.log(name).splitlines()]
        assert all({"time", "level", "logger", "message"} <= set(record) for record in records)
    shown = [line for line in server.output().splitlines() if not line.startswith("{")]
    assert "Model server started." in shown
    assert not [line for line in shown if "ACCESS_LOG" in line]


def test_what_is_exported_is_counted(server: Server) -> None:
    server.inference.post("/predictions/traced", "x")

    def is_counted() -> bool:
        text = server.management.get("/metrics").text
        lines = dict(
            line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("mms_trace_")
        )
        return (
            float(lines.get("mms_trace_spans_exported_total", 0)) > 0
            and lines['mms_trace_spans_lost_total{cause="queue"}'] == "0.0"
        )

    eventually("counts of spans", is_counted)
