"""The model as a LitServe API."""

from __future__ import annotations

import os
from base64 import b64decode
from typing import Any

import litserve
from work import REAL_MODELS, load_work

IS_REAL_MODEL = os.environ["BENCH_WORK"] in REAL_MODELS
BATCH_SIZE = int(os.environ["BENCH_BATCH_SIZE"])
TIMEOUT_S = 60


class Bench(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._work = load_work()

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """LitServe gives the parsed JSON; an annotation would make it look for a query parameter."""
        return b64decode(request["body"]) if IS_REAL_MODEL else request

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, data: Any) -> Any:
        """LitServe gives a batch only when it batches."""
        return self._work(data) if BATCH_SIZE > 1 else self._work([data])[0]

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    api = Bench(
        max_batch_size=BATCH_SIZE,
        batch_timeout=int(os.environ["BENCH_BATCH_DELAY_MS"]) / 1000 if BATCH_SIZE > 1 else 0.0,
    )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=int(os.environ["BENCH_WORKERS"]),
        timeout=TIMEOUT_S,
    )
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), generate_client_file=False)
