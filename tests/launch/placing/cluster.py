"""A cluster of Ray on this machine, for as long as its standard input is open. Prints one line of JSON.

For each line that it reads it starts the cluster's store of what there is anew, which is its head, and prints a line.

Run by itself: Ray's library has threads, and warnings, that a test has no use for.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

_STORE_BYTES = 80 << 20


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ray-state-") as folder:
        # What the head knows outlives it: without it the end of the head is the end of the cluster.
        os.environ.update(RAY_gcs_storage="rocksdb", RAY_gcs_storage_path=folder)
        serve()


def serve() -> None:
    from ray.cluster_utils import Cluster

    # The front's node is the first one, which runs no worker.
    head = {"num_cpus": 0, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes: list[Any] = [
        cluster.add_node(num_cpus=64, object_store_memory=_STORE_BYTES)
        for _ in range(int(sys.argv[1]))
    ]
    cluster.wait_for_nodes()
    pids = [
        [each.process.pid for processes in node.all_processes.values() for each in processes]
        for node in nodes
    ]
    print(json.dumps({"address": cluster.address, "pids": pids}), flush=True)
    for _ in sys.stdin:
        cluster.head_node.kill_gcs_server()
        cluster.head_node.start_gcs_server()
        print("{}", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
