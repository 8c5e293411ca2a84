"""The streams of a model server of MLRun's contract: it makes its records itself, and tells of its errors."""

from __future__ import annotations

from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.records.model_log import StreamContext
from mms.wire import RecordOptions
from mms.worker.records.record_sender import sender


def attach_streams(context: GraphContext, options: RecordOptions) -> None:
    """Give a context its streams."""
    if options.path is not None:
        parameters = context.server.parameters
        parameters["log_stream_sample"] = options.sample
        parameters["log_stream_batch"] = options.batch
        context.stream = StreamContext(
            sender.tracking,
            stream_uri=options.path,
            function_uri=options.function_uri,
            logger=context.logger,
        )
    if options.has_errors:
        context.error_stream = sender.errors
    sender.is_fed_by_model = True
