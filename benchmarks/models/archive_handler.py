"""The handler inside the archive, for every server that takes `handle(data, context)`.

It sets no response header: AWS's server loses its worker when a batch of several answers has any.
"""

from __future__ import annotations

import os
from typing import Any

from work import REAL_MODELS, STREAM_PART, STREAM_PARTS, load_work

HAS_BODIES = os.environ["BENCH_WORK"] in ("digits", "classifier", *REAL_MODELS)
IS_STREAM = os.environ["BENCH_WORK"] == "stream"
_work = load_work()


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    if data is None:  # how AWS's server and TorchServe announce the load of the model
        return None
    if IS_STREAM:
        return _stream(len(data), context)
    return _work([item["body"] for item in data] if HAS_BODIES else data)


def _stream(count: int, context: Any) -> list[str]:
    """Send each request of the batch its parts, as TorchServe's documentation does; the last ends the streams."""
    from ts.handler_utils.utils import send_intermediate_predict_response

    parts = [STREAM_PART] * count
    for _ in range(STREAM_PARTS - 1):
        send_intermediate_predict_response(
            parts, context.request_ids, "Intermediate Prediction success", 200, context
        )
    return parts
