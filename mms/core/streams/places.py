"""The places of a worker that open streams take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mms.core.request import Request
from mms.core.streams.open_stream import OpenStream
from mms.core.worker import Worker

if TYPE_CHECKING:
    from mms.core.model import ModelVersion


def open_stream(
    model: ModelVersion,
    worker: Worker,
    number: int,
    request: Request,
    now: float,
    grant: Callable[[int, int], None],
) -> None:
    """Take a stream that a worker has begun for a request. Raises ProtocolError."""
    stream = worker.streams.open(number, request, now, grant)
    if len(worker.streams) >= model.config.max_streams:
        worker.has_stream_room = False
    if request.is_done:
        stream.close()


def end_stream(model: ModelVersion, worker: Worker, stream: OpenStream) -> None:
    """The worker has sent the last of a stream."""
    worker.streams.end(stream)
    worker.has_stream_room = len(worker.streams) < model.config.max_streams
