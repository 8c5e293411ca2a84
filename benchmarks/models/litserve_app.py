"""The model as a LitServe API."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import litserve
from work import REAL_MODELS, STREAM_PART, STREAM_PARTS, load_work

IS_REAL_MODEL = os.environ["BENCH_WORK"] in REAL_MODELS
IS_STREAM = os.environ["BENCH_WORK"] == "stream"
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


class StreamingBench(Bench):
    """A step of `predict` has a part for each request of the batch."""

    def predict(self, data: list[Any]) -> Iterator[list[str]]:
        parts = [STREAM_PART] * len(data)
        for _ in range(STREAM_PARTS):
            yield parts

    def unbatch(self, output: Iterator[list[str]]) -> Iterator[list[str]]:
        """LitServe looks for a `yield` in each of the three."""
        yield from output

    def encode_response(self, output: Iterator[list[str]]) -> Iterator[list[str]]:
        yield from output


if __name__ == "__main__":
    api = (StreamingBench if IS_STREAM else Bench)(
        max_batch_size=BATCH_SIZE,
        batch_timeout=int(os.environ["BENCH_BATCH_DELAY_MS"]) / 1000 if BATCH_SIZE > 1 else 0.0,
        stream=IS_STREAM,
    )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=int(os.environ["BENCH_WORKERS"]),
        timeout=TIMEOUT_S,
    )
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), generate_client_file=False)
