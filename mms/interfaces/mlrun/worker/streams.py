"""The streams of a model server of MLRun's contract: it makes its records itself, and tells of its errors."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.records.model_log import StreamContext
from mms.wire import Load
from mms.worker.record_sender import sender
from mms.worker.tracking import count_of


def attach_streams(context: GraphContext, load: Load) -> None:
    """Give a context its streams, where the registration has some. Raises ValueError for options that cannot be."""
    options: dict[str, Any] = load.options.get("tracking") or {}
    function_uri = options.get("function_uri") or load.options.get("function_uri") or ""
    if options:
        parameters = context.server.parameters
        for name in ("sample", "batch"):
            # Those of a function that was deployed with a stream of its own are what its author wanted.
            if name in options or f"log_stream_{name}" not in parameters:
                parameters[f"log_stream_{name}"] = count_of(options, name)
        context.stream = StreamContext(
            sender.tracking,
            stream_uri=options.get("path"),
            function_uri=function_uri,
            logger=context.logger,
        )
    if load.options.get("error_stream"):
        context.error_stream = sender.errors
    sender.is_fed_by_model = True
