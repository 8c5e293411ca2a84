"""A cluster whose autoscaler brings a node with a fast disk when one is asked for: Ray's fake provider of nodes.

It lasts as long as its standard input is open. Prints one line of JSON. `ray.cluster_utils.AutoscalingCluster` is not
it: that one ends every Ray of the machine, and reads a file that Ray's package does not have.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from support.processes import free_port

_NOTHING: dict[str, object] = dict.fromkeys(
    ("cluster_synced_files", "initialization_commands", "setup_commands", "head_setup_commands")
    + ("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    + ("rsync_exclude", "rsync_filter"),
    [],
)


def configuration(address: str) -> dict[str, object]:
    return {
        "cluster_name": "fake",
        "max_workers": 1,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": {"type": "fake_multinode", "gcs_address": address},
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **_NOTHING,
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "with_disk": {
                "resources": {"CPU": 2, "fast_disk": 1, "object_store_memory": 80 << 20},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 1,
            },
        },
    }


def main() -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="ras", dir="/tmp") as folder:
        file = Path(folder, "cluster.json")
        file.write_text(json.dumps(configuration(address)))
        options = [f"--port={port}", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}/t"]
        options += [
            "--num-cpus=0",
            f"--object-store-memory={80 << 20}",
            "--include-dashboard=false",
        ]
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--head",
            "--block",
            *options,
        ]
        head = subprocess.Popen(
            [*command, f"--autoscaling-config={file}", "--disable-usage-stats"],
            stdout=subprocess.PIPE,
            env={**os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"},
        )
        assert head.stdout is not None
        try:
            assert any(b"Ray runtime started" in line for line in head.stdout), "Ray did not start"
            print(json.dumps({"address": address}), flush=True)
            sys.stdin.read()
        finally:
            for process in psutil.Process(head.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            head.kill()
            head.wait()


if __name__ == "__main__":
    main()
