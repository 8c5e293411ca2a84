"""A peer's server while it runs: started, ready, frozen between its turns, stopped with nothing left."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

from benchmarks import keeper
from benchmarks.deployment import Answer, Deployment, PeerRequest
from benchmarks.http_client import HOST, NOT_ANSWERED, ask, wait_until

if TYPE_CHECKING:
    from benchmarks.peers.peer import Peer

_LOG_LINES_SHOWN = 12
# Below the range that the system takes the clients' ports from.
_PORTS = range(20_000, 32_000)
_KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "JAVA_HOME", "PATH", "USER")


class ServerFailed(Exception):
    """Its text names the peer, says what it did not do, and ends with its last output."""


@dataclass
class Site:
    """A server's folder and ports. Short paths, for Unix sockets end at 108 characters."""

    folder: Path
    port: int
    management_port: int
    spare_ports: tuple[int, ...]

    @classmethod
    def make(cls) -> Site:
        ports = free_ports(5)
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        (folder / "tmp").mkdir()
        return cls(folder, ports[0], ports[1], tuple(ports[2:]))

    @property
    def grpc_port(self) -> int:
        return self.spare_ports[0]

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Launch:
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Server:
    """Owns the processes of one peer with one deployment, from `start` to `stop`."""

    def __init__(self, peer: Peer, deployment: Deployment) -> None:
        self.peer = peer
        self.deployment = deployment
        self.site = Site.make()
        self.started_at_s = 0.0
        self._keeper: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self._is_frozen = False

    def __repr__(self) -> str:
        return f"<Server {self.peer.name} port={self.site.port} {self.deployment}>"

    def spawn(self, launch: Launch) -> None:
        """Start the command; `started_at_s` is the moment before. Nothing is waited for."""
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment["TMPDIR"] = environment["TEMP"] = str(self.site.folder / "tmp")
        environment.update(launch.environment)
        self._log = self.site.log.open("ab")
        # Isolated (-I): the variables are the server's, the keeper must not heed PYTHONPATH among them.
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", keeper.__file__, *launch.command],
            cwd=self.site.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._keeper.stdout is not None
        first_line = self._keeper.stdout.readline()
        if not first_line:
            raise self.failure("its command could not be started")
        self.started_at_s = float(json.loads(first_line)["started_at_s"])

    def bring_up(self) -> None:
        """Up to the point where the models are registered. Raises ServerFailed; `stop` is still due."""
        self.spawn(self.peer.prepare(self.deployment, self.site))
        self.wait_until_ready()
        try:
            self.peer.deploy(self.deployment, self.site)
        except NOT_ANSWERED as error:
            raise self.failure(f"it did not take the model: {error!r}") from error

    def start(self) -> None:
        """Up to the point where the model answers rightly. Raises ServerFailed; `stop` is still due."""
        self.bring_up()
        request = self.peer.request(self.deployment, self.peer.check_body_bytes)
        if not wait_until(lambda: self.answers_rightly(request), self.peer.ready_timeout_s, 0.02):
            raise self.failure(f"no right answer came: {self.try_ask(request)}")

    def wait_until_ready(self) -> None:
        def is_ready_or_dead() -> bool:
            return not self.is_alive() or self.peer.is_ready(self.site)

        if not wait_until(is_ready_or_dead, self.peer.ready_timeout_s) or not self.is_alive():
            raise self.failure("it did not come up")

    def ask(self, request: PeerRequest) -> Answer:
        return ask(
            self.site.port,
            "POST",
            request.paths[0],
            request.body,
            request.headers,
            self.peer.ask_timeout_s,
        )

    def try_ask(self, request: PeerRequest) -> str:
        try:
            answer = self.ask(request)
        except NOT_ANSWERED as error:
            return repr(error)
        return f"{answer.status} {answer.body[:200]!r}"

    def answers_rightly(self, request: PeerRequest) -> bool:
        try:
            answer = self.ask(request)
        except NOT_ANSWERED:
            return False
        return answer.status == 200 and self.peer.is_right(self.deployment, answer)

    def is_alive(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    def processes(self) -> list[psutil.Process]:
        if self._keeper is None:
            return []
        try:
            return psutil.Process(self._keeper.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def freeze(self) -> None:
        """Stop the clock of an idle server, so that it costs the others nothing (SIGSTOP)."""
        if not self._is_frozen:
            self._signal_all(signal.SIGSTOP)
            self._is_frozen = True

    def thaw(self) -> None:
        if self._is_frozen:
            self._signal_all(signal.SIGCONT)
            self._is_frozen = False

    def stop(self) -> None:
        """End every process and remove the folder. Raises ServerFailed when a process stays."""
        self.thaw()
        keeping = self._keeper
        if keeping is not None:
            keeping.terminate()
            try:
                keeping.wait(3 * keeper.GRACE_S)
            except subprocess.TimeoutExpired:
                for process in self.processes():
                    process.kill()
                keeping.kill()
                keeping.wait()
                raise self.failure("its processes could not be ended") from None
            finally:
                if keeping.stdout is not None:
                    keeping.stdout.close()
                self._keeper = None
        if self._log is not None:
            self._log.close()
            self._log = None
        self.peer.clean_up(self.site)
        self.site.remove()

    def failure(self, what: str) -> ServerFailed:
        try:
            lines = self.site.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        last_lines = "\n".join(lines[-_LOG_LINES_SHOWN:])
        return ServerFailed(
            f"{self.peer.title}: {what}" + (f"\n{last_lines}" if last_lines else "")
        )

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self.processes():
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens on now; AWS's server takes none above 32,767."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
    return found
