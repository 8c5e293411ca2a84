"""AWS's Multi Model Server, the last release."""

from __future__ import annotations

from benchmarks.peers.mar_server import MarServer
from benchmarks.server import Site


class MultiModelServer(MarServer):
    name = "mms"
    title = "AWS MMS"
    front = "Java (Netty)"
    package = "multi-model-server"
    requirements = ("multi-model-server==1.1.11", "setuptools<81")
    tuning = "2 workers, batch_size 32, max_batch_delay 5 ms, OMP_NUM_THREADS = cores / workers"
    response_timeout = "1"  # minutes
    client_counts_mib = 66
    client_leaves_mib = 427

    def obstacle(self) -> str | None:
        return self.needs_java()

    def command(self, site: Site, config: str) -> list[str]:
        command = [self.venv.command("multi-model-server"), "--start", "--foreground"]
        return [*command, "--mms-config", config, "--model-store", str(site.folder / "store")]
