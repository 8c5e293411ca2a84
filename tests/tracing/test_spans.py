"""Which requests are traced, and by which spans."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mms.core import Request
from mms.errors import ServiceUnavailable
from mms.tracing.spans import IGNORE, LIMIT, FinishedSpan, Tracer
from mms.wire.trace_context import TraceContext, context_of

PARENT = TraceContext(0xA1, 0xB2, True)


class _Reply:
    def answer(self, *_: Any) -> None: ...

    def fail(self, *_: Any) -> None: ...

    def give_up(self) -> None: ...


def request_of(headers: bytes = b"") -> Request:
    return Request(b"id", "m", None, False, b"", b"", headers, b"", _Reply(), 1.0)


def parent_header(*, is_sampled: bool = True) -> bytes:
    return b"Traceparent\n" + PARENT._replace(is_sampled=is_sampled).header


def taken(tracer: Tracer, headers: bytes = b"") -> Request:
    request = request_of(headers)
    tracer.submit(lambda _: None, request)
    return request


@pytest.fixture
def spans() -> list[FinishedSpan]:
    return []


def finish(tracer: Tracer, *requests: Request) -> None:
    batch: Any = SimpleNamespace(requests=list(requests), sent_at=2.0)
    model: Any = SimpleNamespace(name="m", version="1")
    worker: Any = SimpleNamespace(name="W-m-1")
    tracer.record_batch(model, worker, batch, 0.5, True, 3.0)


def test_a_client_that_traces_is_the_parent(spans: list[FinishedSpan]) -> None:
    request = taken(Tracer(spans.append, 0.0), parent_header())
    request.answer(201, b"", b"", b"")
    (span,) = spans
    assert span.parent == PARENT
    assert span.context.trace_id == PARENT.trace_id
    assert span.attributes["http.response.status_code"] == 201
    assert context_of(request.headers) == span.context


def test_a_client_that_does_not_trace_is_obeyed(spans: list[FinishedSpan]) -> None:
    request = taken(Tracer(spans.append, 1.0), parent_header(is_sampled=False))
    assert request.span is None
    assert request.headers == parent_header(is_sampled=False)


def test_a_client_s_trace_is_another_s_where_it_is_ignored(spans: list[FinishedSpan]) -> None:
    request = taken(Tracer(spans.append, 1.0, IGNORE), parent_header() + b"\ntracestate\na=1")
    request.answer(200, b"", b"", b"")
    (span,) = spans
    assert span.parent is None and span.context.trace_id != PARENT.trace_id
    assert request.headers == b"traceparent\n" + span.context.header
    assert taken(Tracer(spans.append, 0.0, IGNORE), parent_header()).span is None


def test_clients_make_no_more_traces_than_their_share_where_they_are_limited() -> None:
    tracer = Tracer(lambda _: None, 0.25, LIMIT)
    tracer._random.seed(1)
    # Its id is in each share that goes by the id.
    headers = b"traceparent\n" + TraceContext(1, 2, True).header + b"\ntracestate\na=1"
    requests = [taken(tracer, headers) for _ in range(2000)]
    assert 400 < sum(request.span is not None for request in requests) < 600
    contexts = [context_of(request.headers) for request in requests]
    assert {context and context.trace_id for context in contexts} == {1}
    assert [context and context.is_sampled for context in contexts] == [
        request.span is not None for request in requests
    ]
    assert all(b"tracestate\na=1" in request.headers for request in requests)


@pytest.mark.parametrize("clients", [IGNORE, LIMIT])
def test_what_a_traced_request_asks_is_traced_whatever_clients_may(clients: str) -> None:
    request = request_of(parent_header())
    Tracer(lambda _: None, 0.0, clients).submit(lambda _: None, request, is_nested=True)
    assert request.span is not None and request.span.context.trace_id == PARENT.trace_id


@pytest.mark.parametrize("parent", [b"", b"traceparent\nx\n"])
def test_a_state_without_a_parent_goes_no_further(parent: bytes) -> None:
    for ratio in (0.0, 1.0):
        request = taken(Tracer(lambda _: None, ratio), parent + b"tracestate\na=1")
        assert b"tracestate" not in request.headers


def test_a_request_that_is_not_sampled_says_so_to_what_it_asks(spans: list[FinishedSpan]) -> None:
    tracer = Tracer(spans.append, 0.0)
    request = taken(tracer)
    inner = request_of(request.headers)
    tracer.sample_ratio, tracer._sampled_below = 1.0, 1 << 64
    tracer.submit(lambda _: None, inner, is_nested=True)
    assert request.span is None and inner.span is None


def test_a_share_of_the_requests_is_sampled(spans: list[FinishedSpan]) -> None:
    tracer = Tracer(spans.append, 0.25)
    tracer._random.seed(1)
    sampled = sum(taken(tracer).span is not None for _ in range(2000))
    assert 400 < sampled < 600
    assert all(taken(Tracer(spans.append, 1.0)).span for _ in range(50))


def test_one_request_of_a_batch_has_all_of_it_in_its_trace(spans: list[FinishedSpan]) -> None:
    tracer = Tracer(spans.append, 1.0)
    request = taken(tracer)
    finish(tracer, request)
    request.answer(200, b"", b"", b"")
    batch, queue, handler, whole = spans
    assert [span.name for span in spans] == ["batch", "queue", "handler", "request"]
    assert batch.parent == queue.parent == whole.context
    assert handler.parent == batch.context
    assert batch.links == [whole.context]
    assert (queue.started, queue.ended) == (1.0, 2.0)
    assert (batch.started, batch.ended) == (2.0, 3.0)
    assert (handler.started, handler.ended) == (2.5, 3.0)
    assert len({span.context.trace_id for span in spans}) == 1


def test_a_batch_of_several_links_to_each_and_each_to_it(spans: list[FinishedSpan]) -> None:
    tracer = Tracer(spans.append, 1.0)
    requests = [taken(tracer), taken(tracer, parent_header(is_sampled=False)), taken(tracer)]
    finish(tracer, *requests)
    contexts = [request.span.context for request in requests if request.span is not None]
    (batch,) = [span for span in spans if span.name == "batch"]
    handlers = [span for span in spans if span.name == "handler"]
    assert batch.parent is None and batch.links == contexts
    assert batch.attributes["mms.batch.size"] == 3
    assert [span.parent for span in handlers] == contexts
    assert all(span.links == (batch.context,) for span in handlers)


def test_a_request_has_one_end(spans: list[FinishedSpan]) -> None:
    request = taken(Tracer(spans.append, 1.0))
    request.fail(ServiceUnavailable("no"))
    assert request.span is not None
    request.span.cancel()
    request.span.end(200)
    (span,) = spans
    assert span.is_error and span.attributes["http.response.status_code"] == 503


def test_a_refused_request_has_ended_with_the_refusal(spans: list[FinishedSpan]) -> None:
    def refuse(_: Request) -> None:
        raise ServiceUnavailable("no room")

    with pytest.raises(ServiceUnavailable):
        Tracer(spans.append, 1.0).submit(refuse, request_of())
    assert spans[0].attributes["http.response.status_code"] == 503


def test_a_node_of_a_graph_is_below_the_request(spans: list[FinishedSpan]) -> None:
    request = taken(Tracer(spans.append, 1.0))
    assert request.span is not None
    node = request.span.begin_node("scale", "predict")
    node.end(200)
    assert spans[0].name == "node" and spans[0].parent == request.span.context
    assert spans[0].attributes["mms.node"] == "scale"
