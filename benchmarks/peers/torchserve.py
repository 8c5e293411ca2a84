"""TorchServe, the last release."""

from __future__ import annotations

from benchmarks.http_client import HOST
from benchmarks.peers.mar_server import MarServer
from benchmarks.server import Site


class TorchServe(MarServer):
    name = "torchserve"
    title = "TorchServe"
    front = "Java (Netty)"
    package = "torchserve"
    requirements = ("torchserve==0.12.0", "torch==2.13.0", "setuptools<81", "pyyaml==6.0.2")
    tuning = "2 workers, batch_size 32, max_batch_delay 5 ms, OMP_NUM_THREADS = cores / workers"
    ready_timeout_s = 120.0
    client_counts_mib = 193
    client_leaves_mib = 184

    def obstacle(self) -> str | None:
        return self.needs_java()

    def command(self, site: Site, config: str) -> list[str]:
        command = [self.venv.command("torchserve"), "--start", "--foreground", "--ncs"]
        command += ["--disable-token-auth", "--enable-model-api", "--ts-config", config]
        return [*command, "--model-store", str(site.folder / "store")]

    def more_properties(self, site: Site) -> dict[str, str]:
        grpc_inference, grpc_management, metrics = site.spare_ports[:3]
        return {
            "metrics_address": f"http://{HOST}:{metrics}",
            "grpc_inference_port": str(grpc_inference),
            "grpc_management_port": str(grpc_management),
        }
