"""Spans of requests: `request`, and below it `queue`, `node`, `batch` and `handler`. Kept as tuples on the event loop.

A batch of one request is part of that request's trace. A batch of several is the root of a trace of its own, with
links to its requests; each of them has a `handler` span that links to the batch.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mms.errors import ServerError
from mms.wire import RequestHead
from mms.wire.trace_context import TraceContext, context_of, with_context, words_of

if TYPE_CHECKING:
    from mms.core import ModelVersion, Request
    from mms.core.worker import Batch, Worker

#: What a client's `traceparent` decides: as the standard has it; nothing; nothing that makes more traces.
OBEY, IGNORE, LIMIT = "obey", "ignore", "limit"
_TRACE_BITS = 128
_SPAN_BITS = 64


class FinishedSpan(NamedTuple):
    """A span that is over. Times are of `time.monotonic()`, in seconds."""

    name: str
    context: TraceContext
    parent: TraceContext | None
    started: float
    ended: float
    attributes: Mapping[str, str | int | float | bool]
    links: Sequence[TraceContext] = ()
    #: It is a server's answer to a call of its client.
    is_served: bool = False
    is_error: bool = False


class RequestSpan:
    """A request that is sampled, from its coming to its answer."""

    __slots__ = ("_parent", "_started", "_tracer", "attributes", "context", "is_ended", "is_nested")

    def __init__(
        self,
        tracer: Tracer,
        context: TraceContext,
        parent: TraceContext | None,
        request: Request,
        is_nested: bool,
    ) -> None:
        self._tracer = tracer
        self.context = context
        self._parent = parent
        self._started = request.received_at
        self.is_nested = is_nested
        self.is_ended = False
        self.attributes: dict[str, str | int | float | bool] = {
            "mms.model": request.name,
            "mms.request_id": request.id.decode("ascii", "replace"),
        }
        if request.version:
            self.attributes["mms.version"] = request.version

    def __repr__(self) -> str:
        return f"<RequestSpan {self.context.header.decode()}>"

    @property
    def words(self) -> str:
        """What the access log says of it."""
        return words_of(self.context)

    def note_status(self, status: int) -> None:
        """The head of the answer is known; the rest comes in parts."""
        self.attributes["http.response.status_code"] = status

    def end(self, status: int = 0) -> None:
        """The request is answered; 0: by what `note_status` was told. The first call counts."""
        if self.is_ended:
            return
        self.is_ended = True
        if status:
            self.attributes["http.response.status_code"] = status
        self._add(status, time.monotonic())

    def cancel(self) -> None:
        """The client is gone."""
        if not self.is_ended:
            self.is_ended = True
            self.attributes["mms.cancelled"] = True
            self._add(0, time.monotonic())

    def _add(self, status: int, now: float) -> None:
        self._tracer.add(
            FinishedSpan(
                "request",
                self.context,
                self._parent,
                self._started,
                now,
                self.attributes,
                is_served=not self.is_nested,
                is_error=status >= 500,
            )
        )

    def begin_node(self, name: str, operation: str) -> NodeSpan:
        """Begin a call of a graph, which this request is to, to one of its nodes."""
        return NodeSpan(self._tracer, self.context, name, operation)


class NodeSpan:
    """The call of a graph to a node, here or elsewhere. `context` is what the node is to name as its parent."""

    __slots__ = ("_attributes", "_parent", "_started", "_tracer", "context")

    def __init__(self, tracer: Tracer, parent: TraceContext, name: str, operation: str) -> None:
        self._tracer = tracer
        self._parent = parent
        self._started = time.monotonic()
        self._attributes: dict[str, str | int | float | bool] = {
            "mms.node": name,
            "mms.operation": operation,
        }
        self.context = tracer.child_of(parent)

    def __repr__(self) -> str:
        return f"<NodeSpan {self.context.header.decode()}>"

    def end(self, status: int) -> None:
        self._attributes["http.response.status_code"] = status
        self._tracer.add(
            FinishedSpan(
                "node",
                self.context,
                self._parent,
                self._started,
                time.monotonic(),
                self._attributes,
                is_error=status >= 500,
            )
        )


class Tracer:
    """Decides which requests are traced, and makes their spans. Called on the event loop; it neither waits nor fails.

    `add` receives each span that is over.
    """

    def __init__(
        self, add: Callable[[FinishedSpan], None], sample_ratio: float, clients: str = OBEY
    ) -> None:
        """`sample_ratio`: of the requests whose client has not decided, from 0 to 1.

        `clients`: what clients decide by `traceparent`: OBEY, IGNORE or LIMIT.
        """
        self.add = add
        self.sample_ratio = sample_ratio
        self.clients = clients
        self._sampled_below = round(sample_ratio * (1 << _SPAN_BITS))
        self._random = random.Random()

    def __repr__(self) -> str:
        return f"<Tracer of {self.sample_ratio:.0%}>"

    def submit(
        self, take: Callable[[Request], None], request: Request, *, is_nested: bool = False
    ) -> None:
        """Have a request taken, and its `traceparent` name the span of it. Raises what `take` raises.

        `is_nested`: it is part of another request.
        """
        self._begin(request, is_nested)
        span = request.span
        if span is None:
            take(request)
            return
        try:
            take(request)
        except ServerError as error:
            span.end(error.http_status)
            raise
        except Exception:
            span.end(500)
            raise

    def _begin(self, request: Request, is_nested: bool) -> None:
        head = request.head
        clients = OBEY if is_nested else self.clients
        parent = None if clients == IGNORE else context_of(head.headers)
        if parent is None:
            trace_id = self._random.getrandbits(_TRACE_BITS) or 1
            is_sampled = trace_id & ((1 << _SPAN_BITS) - 1) < self._sampled_below
            context = TraceContext(trace_id, self._span_id(), is_sampled)
        elif parent.is_sampled:
            context = self.child_of(parent)
            # By no part of the trace's id, which the client has chosen.
            if clients == LIMIT and self._random.getrandbits(_SPAN_BITS) >= self._sampled_below:
                context = context._replace(is_sampled=False)
        else:
            # What it is part of is not traced, which its header says to everybody already.
            return
        request.head = RequestHead(
            head.passes_query,
            head.content_type,
            head.query,
            with_context(head.headers, context, is_new=parent is None),
            head.operation,
        )
        if context.is_sampled:
            request.span = RequestSpan(self, context, parent, request, is_nested)

    def child_of(self, parent: TraceContext) -> TraceContext:
        """Return the context of a new span in the same trace."""
        return parent._replace(span_id=self._span_id())

    def _span_id(self) -> int:
        return self._random.getrandbits(_SPAN_BITS) or 1

    def record_batch(
        self,
        model: ModelVersion,
        worker: Worker,
        batch: Batch,
        entry_point_s: float,
        is_success: bool,
        now: float,
    ) -> None:
        """Make the spans of a finished batch, which its worker had from `batch.sent_at` to `now`."""
        traced = [request for request in batch.requests if request.span is not None]
        if not traced:
            return
        contexts = [request.span.context for request in traced if request.span is not None]
        attributes: dict[str, str | int | float | bool] = {
            "mms.model": model.name,
            "mms.version": model.version or "",
            "mms.worker": worker.name,
            "mms.batch.size": len(batch.requests),
        }
        sent_at = batch.sent_at
        if len(batch.requests) == 1:
            parent: TraceContext | None = contexts[0]
            context = self.child_of(contexts[0])
        else:
            parent = None
            trace_id = self._random.getrandbits(_TRACE_BITS) or 1
            context = TraceContext(trace_id, self._span_id(), True)
        self.add(
            FinishedSpan(
                "batch",
                context,
                parent,
                sent_at,
                now,
                attributes,
                contexts,
                is_error=not is_success,
            )
        )
        handler_at = max(now - entry_point_s, sent_at)
        for request, of_request in zip(traced, contexts, strict=True):
            self.add(
                FinishedSpan(
                    "queue",
                    self.child_of(of_request),
                    of_request,
                    request.received_at,
                    sent_at,
                    attributes,
                )
            )
            above, links = (context, ()) if parent is not None else (of_request, (context,))
            self.add(
                FinishedSpan(
                    "handler",
                    self.child_of(above),
                    above,
                    handler_at,
                    now,
                    attributes,
                    links,
                    is_error=not is_success,
                )
            )
