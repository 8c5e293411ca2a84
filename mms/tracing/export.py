"""Sends spans to a collector by OTLP, with the exporters of OpenTelemetry's own SDK (extra `otel`), in a thread.

The event loop does nothing but append to a bounded queue. A collector that is gone, slow or silent costs the spans
that find the queue full, which are counted, and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mms.errors import ConfigurationError
from mms.tracing.spans import FinishedSpan
from mms.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from mms.settings import Settings
    from mms.wire.trace_context import TraceContext

logger = logging.getLogger("mms.tracing")

HTTP, GRPC = "http", "grpc"
#: Where a collector takes traces, of an endpoint that names none.
_PATH = "/v1/traces"
_OF_TRACES = (
    *("otlp_protocol", "trace_sample_ratio", "trace_parent", "trace_queue_size"),
    *("trace_service_name", "trace_access_log"),
)
#: Spans of one message, how often one is sent, in seconds, and how long a collector may take.
_MOST_SPANS = 512
_INTERVAL_S = 1.0
_TIMEOUT_S = 10.0
#: The loggers of the SDK, and what is shown of a line of theirs.
_SDK = "opentelemetry"
#: Held while the SDK's logger gets or loses a handler of an export.
_changing_handlers = threading.Lock()
_MOST_CHARS = 500
#: How often a collector that does not take spans is in the log, in seconds.
_WARN_S = 60.0
#: What a collector that did not take the message before gets for the last ones, in seconds.
_LAST_TRY_S = 0.3


def endpoint_of(url: str, protocol: str) -> str:
    """Return where to send to: with HTTP an address without a path gets the usual one."""
    if protocol == HTTP and urlsplit(url).path in ("", "/"):
        return url.rstrip("/") + _PATH
    return url


def make_exporter(url: str, protocol: str) -> SpanExporter:
    """Return the SDK's exporter. Raises ConfigurationError where the extra is not installed."""
    made: Any
    try:
        if protocol == GRPC:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
                OTLPSpanExporter as GrpcExporter,
            )

            made = GrpcExporter(
                endpoint=url, insecure=urlsplit(url).scheme == "http", timeout=_TIMEOUT_S
            )
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
                OTLPSpanExporter as HttpExporter,
            )

            from mms.tracing.collector_session import make_session

            made = HttpExporter(
                endpoint=endpoint_of(url, protocol),
                timeout=_TIMEOUT_S,
                session=make_session(_TIMEOUT_S),
            )
    except ImportError as error:
        raise ConfigurationError(
            f"Invalid configuration: otlp_endpoint={url} needs the package {error.name}: "
            'pip install "marserve[otel]"'
        ) from None
    exporter: SpanExporter = made
    return exporter


class _LastProblem(logging.Handler):
    """What the SDK has said last of its own problems, which it says with each message that is not taken."""

    def __init__(self, on_retry: Callable[[], None]) -> None:
        """`on_retry` is called where the SDK is going to try again, which it says as a warning."""
        super().__init__()
        self.text = ""
        self._on_retry = on_retry

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()[:_MOST_CHARS]
        if record.levelno < logging.ERROR:
            self._on_retry()

    def take(self) -> str:
        """Return it once, as the end of a sentence."""
        text, self.text = self.text, ""
        return f": {text}" if text else ""


class SpanExport:
    """The queue of finished spans, and the thread that empties it."""

    def __init__(
        self,
        make: Callable[[], SpanExporter],
        *,
        capacity: int,
        service_name: str,
        where: str,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        """`capacity`: spans that wait at most. `where`: the collector, for messages."""
        self._make = make
        self._capacity = capacity
        self._service_name = service_name
        self._where = where
        self._interval_s = interval_s
        self._queue: deque[FinishedSpan] = deque()
        self._is_due = threading.Event()
        self._is_ending = False
        self._is_over = False
        #: Spans of the message that the collector has not answered yet.
        self._under_way = 0
        self._thread: threading.Thread | None = None
        self._exporter: SpanExporter | None = None
        self._warned_at = -_WARN_S
        #: Set when the end waits for nothing more: the thread is over, or the message under way is to be sent again.
        self._is_settled = threading.Event()
        self._problem = _LastProblem(self._is_settled.set)
        self._has_failed = False
        #: Why a collector has not taken spans, as the end of a sentence.
        self._reason = ""
        #: Spans that the collector has taken, that it did not take, and that found the queue full.
        self.exported = 0
        self.failed = 0
        self.dropped = 0

    @classmethod
    def of_settings(cls, settings: Settings) -> SpanExport | None:
        """Return None where no traces are made."""
        url, protocol = settings.otlp_endpoint, settings.otlp_protocol
        if url is None:
            unused = [name for name in _OF_TRACES if name in settings.raw]
            if unused:
                notice = (
                    f"No traces are made without otlp_endpoint: {', '.join(unused)} has no effect."
                )
                settings.notices.append((logging.WARNING, notice))
            return None
        return cls(
            lambda: make_exporter(url, protocol),
            capacity=settings.trace_queue_size,
            service_name=settings.trace_service_name,
            where=url,
        )

    def __repr__(self) -> str:
        return f"<SpanExport to {self._where}, {len(self._queue)} spans to send>"

    @property
    def waiting(self) -> int:
        """Spans that are in the queue."""
        return len(self._queue)

    def add(self, span: FinishedSpan) -> None:
        """Take a span, or count it as dropped. For the event loop: it does not wait."""
        queue = self._queue
        if len(queue) >= self._capacity:
            self.dropped += 1
            return
        queue.append(span)
        if len(queue) == _MOST_SPANS:
            self._is_due.set()

    def start(self) -> None:
        """Begin to send. Raises ConfigurationError where the extra is not installed."""
        self._exporter = self._make()
        self._thread = threading.Thread(target=self._run, name="trace-export", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Send what waits, and end. After `timeout_s` the rest is lost; it is counted as dropped. Blocking.

        A collector that is known to be gone is not waited for: what it does not take now it will not in a moment.
        """
        self._is_ending = True
        self._is_due.set()
        thread, exporter = self._thread, self._exporter
        if thread is None or exporter is None:
            return
        self._is_settled.wait(min(timeout_s, _LAST_TRY_S) if self._has_failed else timeout_s)
        lost, reason = self.failed + self.dropped, self._reason
        if not self._is_over:
            reason = self._problem.take() or reason
            lost += len(self._queue) + self._under_way
            self.dropped += len(self._queue)
            self._queue.clear()
            # It wakes an exporter that waits for its next try; one that hangs ends with the process.
            threading.Thread(target=exporter.shutdown, daemon=True).start()
        else:
            exporter.shutdown()
        if lost:
            logger.warning(
                "%d spans of traces did not reach %s%s", lost, self._where, reason or "."
            )

    def _run(self) -> None:
        # A line of the SDK for each message that is not taken would fill the log.
        sdk = logging.getLogger(_SDK)
        with _changing_handlers:
            sdk.addHandler(self._problem)
            sdk.propagate = False
        try:
            self._send_until_end()
        finally:
            with _changing_handlers:
                sdk.removeHandler(self._problem)
                # Another export may have begun meanwhile.
                sdk.propagate = not any(isinstance(each, _LastProblem) for each in sdk.handlers)
            self._is_over = True
            self._is_settled.set()

    def _send_until_end(self) -> None:
        from opentelemetry.sdk.resources import Resource

        resource = Resource.create(
            {"service.name": self._service_name, "service.version": __version__}
            if self._service_name
            else {"service.version": __version__}
        )
        while True:
            self._is_due.wait(self._interval_s)
            self._is_due.clear()
            while self._queue:
                self._send(resource)
            if self._is_ending:
                return

    def _send(self, resource: Any) -> None:
        spans: list[FinishedSpan] = []
        while self._queue and len(spans) < _MOST_SPANS:
            try:
                spans.append(self._queue.popleft())
            except IndexError:
                # `close` has emptied it.
                break
        if not spans or self._exporter is None:
            return
        reason = ""
        self._under_way = len(spans)
        try:
            from opentelemetry.sdk.trace.export import SpanExportResult

            result = self._exporter.export(readable_spans(spans, resource))
            is_taken = result is SpanExportResult.SUCCESS
        except Exception as error:
            is_taken, reason = False, f": {error}"[:_MOST_CHARS]
        self._under_way = 0
        self._is_settled.clear()
        self._has_failed = not is_taken
        reason = self._problem.take() or reason
        if is_taken:
            self.exported += len(spans)
            return
        self.failed += len(spans)
        self._reason = reason
        now = time.monotonic()
        # The end has words of its own.
        if now - self._warned_at >= _WARN_S and not self._is_ending:
            self._warned_at = now
            logger.warning(
                "The collector at %s did not take %d spans of traces, which are lost%s",
                *(self._where, len(spans), reason),
            )


def readable_spans(spans: Sequence[FinishedSpan], resource: Any) -> list[ReadableSpan]:
    """Return spans as the SDK has them."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context_of(context: TraceContext, *, is_remote: bool = False) -> SpanContext:
        return SpanContext(context.trace_id, context.span_id, is_remote, TraceFlags(1))

    epoch_s = time.time() - time.monotonic()
    scope = InstrumentationScope("mms", __version__)
    return [
        ReadableSpan(
            name=span.name,
            context=context_of(span.context),
            parent=span.parent and context_of(span.parent, is_remote=span.is_served),
            resource=resource,
            attributes=dict(span.attributes),
            links=[Link(context_of(link)) for link in span.links],
            kind=SpanKind.SERVER if span.is_served else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
            start_time=int((epoch_s + span.started) * 1e9),
            end_time=int((epoch_s + span.ended) * 1e9),
            instrumentation_scope=scope,
        )
        for span in spans
    ]
