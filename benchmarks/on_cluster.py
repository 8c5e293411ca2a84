"""What a worker on a node costs beside one of the server's own machine, and Ray Serve with the same work.

`python -m benchmarks.on_cluster` prints a table. Ray and this server are those of the Python that runs it; Ray Serve is
installed below `.bench/`. The workers that Ray places are on this machine: one as on the server's own node, and one as
on another node, which is reached by mutual TLS, here over loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.archives import ARCHIVE_NAME, build_archive
from benchmarks.deployment import STREAM_PART, STREAM_PARTS, Deployment, PeerRequest
from benchmarks.http_client import HOST, NOT_ANSWERED, ask, wait_until
from benchmarks.load import drive
from benchmarks.machine import processor_seconds
from benchmarks.peers.ray_serve import RayServe
from benchmarks.server import Server, free_ports

_START_S = 120.0
_BODY = b"x"
_HEADERS = {"Content-Type": "application/octet-stream"}
#: Of processes that a request passes; all others of Ray stand by.
_ON_THE_WAY = ("mms.worker", "ray::WorkerHost", "com.amazonaws.ml.mms.ModelServer")


@dataclass
class Way:
    """One way to a worker. `on_the_way`: the processes that work for its requests."""

    title: str
    port: int
    request: PeerRequest
    on_the_way: Callable[[], list[psutil.Process]]
    freeze: Callable[[], None] = lambda: None
    thaw: Callable[[], None] = lambda: None
    rates: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)

    def measure(self, connections: int, duration_s: float, scratch: Path) -> None:
        self.thaw()
        before_s = processor_seconds(self.on_the_way())
        figures = drive(self.port, self.request, connections, duration_s, scratch)
        spent_s = processor_seconds(self.on_the_way()) - before_s
        self.freeze()
        if errors := figures.errors():
            raise SystemExit(f"{self.title}: {errors}")
        self.rates.append(figures.requests_per_s)
        self.p50_ms.append(figures.p50_us / 1000)
        self.processor_us.append(spent_s * 1e6 / figures.requests)

    def row(self) -> str:
        rates = ", ".join(f"{rate:,.0f}" for rate in self.rates)
        p50, processor = statistics.median(self.p50_ms), statistics.median(self.processor_us)
        return f"| {self.title} | {rates} | {statistics.median(self.rates):,.0f} | {p50:.1f} | {processor:.0f} |"


@contextlib.contextmanager
def _own_server(folder: Path, *, by_tls: bool) -> Iterator[tuple[int, int, psutil.Process]]:
    """Run this server with Ray. Give its ports and its process. `by_tls`: workers come as from another machine."""
    folder.mkdir()
    build_archive(folder / "store")
    port, management_port = free_ports(2)
    settings = {
        "inference_address": f"http://{HOST}:{port}",
        "management_address": f"http://{HOST}:{management_port}",
        "model_store": str(folder / "store"),
        "ray_address": "local",
    }
    if by_tls:
        # A loopback address has workers of this machine come by TLS, too.
        settings["worker_address"] = f"{HOST}:0"
    config = folder / "config.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    work = {"BENCH_WORK": "noop", "BENCH_WORK_MS": "0"}
    work |= {"BENCH_STREAM_PART": STREAM_PART, "BENCH_STREAM_PARTS": str(STREAM_PARTS)}
    environment = {**os.environ, **work, "TMPDIR": str(folder)}
    command = [str(Path(sys.executable).with_name("multi-model-server")), "--start", "--foreground"]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            [*command, "--mms-config", str(config)], stdout=log, stderr=log, env=environment
        )
    try:
        if not wait_until(lambda: _is_up(port), _START_S):
            raise SystemExit((folder / "server.log").read_text(errors="replace")[-2000:])
        yield port, management_port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _is_up(port: int) -> bool:
    try:
        return ask(port, "GET", "/ping").status == 200
    except NOT_ANSWERED:
        return False


def _processes_on_the_way(server: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in [server, *server.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            if any(word in command for word in _ON_THE_WAY) and "--fork-server" not in command:
                found.append(process)
    return found


def _own_way(title: str, name: str, launcher: str, ports: tuple[int, int, psutil.Process]) -> Way:
    port, management_port, server = ports
    path = f"/models?url={ARCHIVE_NAME}&model_name={name}&initial_workers=1&launcher={launcher}&synchronous=true"
    answer = ask(management_port, "POST", path, timeout_s=_START_S)
    if answer.status != 200:
        raise SystemExit(f"{title}: {answer.body.decode(errors='replace')}")
    request = PeerRequest((f"/predictions/{name}",), _BODY, _HEADERS)
    return Way(title, port, request, lambda: _processes_on_the_way(server))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=4.0, help="seconds a turn")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--no-serve", action="store_true", help="without Ray Serve")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oc-", dir="/tmp")))
        near = stack.enter_context(_own_server(folder / "near", by_tls=False))
        far = stack.enter_context(_own_server(folder / "far", by_tls=True))
        ways = [
            _own_way("this server, a worker beside it", "beside", "process", near),
            _own_way("a worker that Ray placed on the server's node", "placed", "ray", near),
            _own_way("a worker that Ray placed, by TLS", "placed", "ray", far),
        ]
        if not options.no_serve:
            peer = RayServe()
            peer.install()
            server = Server(peer, Deployment())
            stack.callback(server.stop)
            server.start()
            request = peer.request(server.deployment, len(_BODY))
            ways.append(
                Way(
                    "Ray Serve, one replica",
                    *(server.site.port, request, server.processes, server.freeze, server.thaw),
                )
            )
        for way in ways:
            # What is learned at first, and connections, are not measured.
            way.measure(options.connections, 2, folder)
            for figures in (way.rates, way.p50_ms, way.processor_us):
                figures.clear()
        for _ in range(options.rounds):
            for way in ways:
                way.measure(options.connections, options.duration, folder)
        print("| | requests/s, each round | median | p50, ms | processor time, µs a request |")
        print("|---|---|---|---|---|")
        for way in ways:
            print(way.row())


if __name__ == "__main__":
    main()
