"""What is kept of a finished batch, for logs and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mms.core.model import ModelVersion
from mms.core.worker import Batch, Worker


def batch_record(
    model: ModelVersion,
    worker: Worker,
    batch: Batch,
    entry_point_s: float,
    is_success: bool,
    now: float,
) -> tuple[Any, ...]:
    """Return what the recorder keeps of a finished batch; the order is its own."""
    sent_at = batch.sent_at
    requests = batch.requests
    size = len(requests)
    queue_s: Sequence[float]
    ids: Sequence[bytes]
    if size == 1:
        # Comprehensions are calls.
        queue_s = (sent_at - requests[0].received_at,)
        ids = (requests[0].id,)
    else:
        queue_s = [sent_at - request.received_at for request in requests]
        ids = [request.id for request in requests]
    return (
        now,
        model.name,
        model.version or "",
        worker.name,
        size,
        queue_s,
        entry_point_s,
        ids,
        is_success,
    )


def coding_record(
    model: ModelVersion, size: int, reading_ns: int, writing_ns: int
) -> tuple[str, str, int, float, float]:
    """Return what the recorder keeps of the tensors of a finished batch, times in seconds."""
    return model.name, model.version or "", size, reading_ns * 1e-9, writing_ns * 1e-9
