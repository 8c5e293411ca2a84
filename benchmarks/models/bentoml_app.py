"""The model as a BentoML service."""

from __future__ import annotations

import os
from base64 import b64decode
from typing import Any

import bentoml
from work import REAL_MODELS, load_work

IS_REAL_MODEL = os.environ["BENCH_WORK"] in REAL_MODELS
BATCH_SIZE = int(os.environ["BENCH_BATCH_SIZE"])
TIMEOUT_S = 60
_BATCHING: dict[str, Any] = (
    {"batchable": True, "max_batch_size": BATCH_SIZE} if BATCH_SIZE > 1 else {}
)


@bentoml.service(workers=int(os.environ["BENCH_WORKERS"]), traffic={"timeout": TIMEOUT_S})
class Bench:
    def __init__(self) -> None:
        self._work = load_work()

    @bentoml.api(**_BATCHING)
    def predict(self, inputs: list[Any]) -> list[Any]:
        if IS_REAL_MODEL:
            inputs = [b64decode(text) for text in inputs]
        return self._work(inputs)
