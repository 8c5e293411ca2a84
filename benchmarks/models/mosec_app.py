"""The model as a mosec worker. Bodies and answers are plain bytes, as cheap as mosec has them."""

from __future__ import annotations

import json
import os
from typing import Any

from mosec import Server, Worker
from work import load_work

IS_DIGITS = os.environ["BENCH_WORK"] == "digits"
BATCH_SIZE = int(os.environ["BENCH_BATCH_SIZE"])


class Bench(Worker):
    def __init__(self) -> None:
        super().__init__()
        self._work = load_work()

    def deserialize(self, data: bytes) -> Any:
        return json.loads(data) if IS_DIGITS else data

    def forward(self, data: Any) -> Any:
        """mosec gives a list only when it batches."""
        return self._work(data) if BATCH_SIZE > 1 else self._work([data])[0]

    def serialize(self, data: Any) -> bytes:
        return json.dumps(data).encode() if IS_DIGITS else data.encode()


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Bench,
        num=int(os.environ["BENCH_WORKERS"]),
        max_batch_size=BATCH_SIZE,
        max_wait_time=int(os.environ["BENCH_BATCH_DELAY_MS"]),
    )
    server.run()
