"""The handler inside the archive, for every server that takes `handle(data, context)`.

It sets no response header: AWS's server loses its worker when a batch of several answers has any.
"""

from __future__ import annotations

import os
from typing import Any

from work import REAL_MODELS, load_work

HAS_BODIES = os.environ["BENCH_WORK"] in ("digits", "classifier", *REAL_MODELS)
_work = load_work()


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    if data is None:  # how AWS's server and TorchServe announce the load of the model
        return None
    return _work([item["body"] for item in data] if HAS_BODIES else data)
