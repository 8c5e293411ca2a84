"""The models of a server that makes traces. Without traces there is no step more on a request's way."""

from __future__ import annotations

from typing import Any

from mms.core import Request
from mms.serving.host import ModelHost
from mms.tracing.spans import Tracer


class TracedModelHost(ModelHost):
    """Models whose requests have spans."""

    def __init__(self, *args: Any, tracer: Tracer, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tracer = tracer
        self.dispatcher.trace_batch = tracer.record_batch

    def submit(self, request: Request) -> None:
        self._tracer.submit(super().submit, request)

    def submit_nested(self, request: Request) -> None:
        self._tracer.submit(super().submit_nested, request, is_nested=True)

    def cancel(self, request: Request) -> None:
        super().cancel(request)
        if request.span is not None:
            request.span.cancel()
