"""The model as a Ray Serve deployment, on a cluster of this machine alone."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from work import load_work

HOST = "127.0.0.1"
# Ray replaces 127.0.0.1 by the address of a network card; another loopback address it leaves alone.
NODE = "127.0.0.2"
IS_DIGITS = os.environ["BENCH_WORK"] == "digits"
BATCH_SIZE = int(os.environ["BENCH_BATCH_SIZE"])
BATCH_DELAY_S = int(os.environ["BENCH_BATCH_DELAY_MS"]) / 1000
QUEUE_CAPACITY = 4096
# Logical: a deployment may take more replicas than there are cores.
CORES = 16


@serve.deployment(
    num_replicas=int(os.environ["BENCH_WORKERS"]),
    max_ongoing_requests=QUEUE_CAPACITY,
    ray_actor_options={"num_cpus": 1},
)
class Bench:
    def __init__(self) -> None:
        self._work = load_work()

    async def __call__(self, request: Request) -> Any:
        body = await request.body()
        item = json.loads(body) if IS_DIGITS else body
        if BATCH_SIZE > 1:
            return await self.answer_together(item)
        return self._work([item])[0]

    @serve.batch(max_batch_size=BATCH_SIZE, batch_wait_timeout_s=BATCH_DELAY_S)
    async def answer_together(self, items: list[Any]) -> list[Any]:
        return self._work(items)


if __name__ == "__main__":
    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        _node_ip_address=NODE,
        _temp_dir=os.environ["BENCH_RAY_FOLDER"],
    )
    serve.start(http_options={"host": HOST, "port": int(os.environ["BENCH_PORT"])})
    serve.run(Bench.bind(), name="bench", route_prefix="/")
    signal.pause()
