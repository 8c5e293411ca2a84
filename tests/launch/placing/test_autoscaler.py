"""Ray's own autoscaler brings the node that a model waits for, with `--full` alone: a cluster takes 10 s."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_cluster import nodes_of, started_cluster, started_server
from support.waiting import eventually

_ASKED = "ray_resources=%7B%22resources%22%3A%7B%22fast_disk%22%3A1%7D%7D"


def test_a_model_waits_for_the_node_that_the_autoscaler_brings(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with (
        started_cluster(request, "autoscaling.py") as cluster,
        started_server(cluster, tmp_path) as server,
    ):
        path = f"/models?url=sleeps&model_name=m&initial_workers=1&synchronous=false&{_ASKED}"
        assert server.management.post(path).status == 202
        seen: list[str] = []

        def is_ready() -> bool:
            (worker,) = server.management.get("/models/m").json()["workers"]
            seen.append(worker.get("reason", ""))
            return worker["state"] == "READY"

        eventually("the worker has its node", is_ready, 90)
        waiting = "waiting for a node: 1 CPU, 1 fast_disk (none of 1 node is large enough: there are at most 0 CPUs"
        assert any(reason.startswith(waiting) for reason in seen), set(seen)
        assert server.inference.post("/predictions/m", b"x").status == 200
        assert len(nodes_of(server)) == 1
