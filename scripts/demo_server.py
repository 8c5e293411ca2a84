"""The server of the demo: started by command, called over HTTP, stopped with everything it started."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from console import Steps
from environment import COMMANDS, child_environment

INFERENCE_PORT = 8080
MANAGEMENT_PORT = 8081
# Where to look when those are taken.
SPARE_PORTS = range(18080, 18180)
READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05
LINES_SHOWN_ON_FAILURE = 20


class ServerFailed(Exception):
    """Its text says what went wrong."""


def choose_ports() -> tuple[int, int, list[str]]:
    """Return free ports for inference and management, and a note for each that is not the usual one."""
    notes = []
    chosen: list[int] = []
    for usual in (INFERENCE_PORT, MANAGEMENT_PORT):
        port = usual
        if not _is_free(port):
            free = (spare for spare in SPARE_PORTS if spare not in chosen and _is_free(spare))
            port = next(free, 0)
            if not port:
                raise ServerFailed(
                    f"port {usual} is taken, and so are {SPARE_PORTS[0]} to {SPARE_PORTS[-1]}"
                )
            notes.append(f"port {usual} is taken, using {port} instead")
        chosen.append(port)
    return chosen[0], chosen[1], notes


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class DemoServer:
    def __init__(
        self, build: Path, model_store: Path, inference_port: int, management_port: int
    ) -> None:
        self._build = build
        self._model_store = model_store
        self._inference_port = inference_port
        self._management_port = management_port
        self._output_file = build / "server-output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        # Short, for Unix sockets whose paths have little room, and apart from other servers' files.
        self._temporary = tempfile.mkdtemp(prefix="mms-demo-")
        self._config_file = build / "config.properties"
        self._config_file.write_text(
            f"inference_address=http://127.0.0.1:{inference_port}\n"
            f"management_address=http://127.0.0.1:{management_port}\n",
            encoding="ascii",
        )

    def command_line(self) -> str:
        """Return what a user would type, from the build folder."""
        return shlex.join(["multi-model-server", *self._arguments()])

    def _arguments(self) -> list[str]:
        store = self._model_store.relative_to(self._build)
        return [
            *("--start", "--foreground", "--mms-config", self._config_file.name),
            *("--model-store", str(store), "--models", "digits=digits.mar"),
        ]

    def start(self) -> None:
        environment = child_environment() | {
            "TMPDIR": self._temporary,
            "TEMP": self._temporary,
            "LOG_LOCATION": str(self._build / "logs"),
            "METRICS_LOCATION": str(self._build / "logs"),
        }
        with self._output_file.open("wb") as output:
            self._process = subprocess.Popen(
                [str(COMMANDS / "multi-model-server"), *self._arguments()],
                cwd=self._build,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own group: a Ctrl-C is for the demo, which then stops the server in good order.
                start_new_session=True,
            )

    def wait_until_ready(self, steps: Steps) -> None:
        """Wait until every worker has loaded the model. Raises ServerFailed."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise ServerFailed(
                    f"The server ended with exit code {self._process.returncode}. "
                    + self.last_output()
                )
            states = self._worker_states()
            if states and set(states) == {"READY"}:
                return
            steps.detail("loading the model" if states else "starting")
            time.sleep(POLL_INTERVAL_S)
        raise ServerFailed(
            f"The model was not loaded in {READY_TIMEOUT_S:.0f} s. {self.last_output()}"
        )

    def _worker_states(self) -> list[str]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._management_port, timeout=ANSWER_TIMEOUT_S
        )
        try:
            connection.request("GET", "/models/digits")
            answer = connection.getresponse()
            if answer.status != 200:
                return []
            described = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return []
        finally:
            connection.close()
        model = described[0] if isinstance(described, list) else described
        return [worker["status"] for worker in model["workers"]]

    def predict(self, body: bytes) -> tuple[int, bytes, float]:
        """Return (status, body, seconds) of one POST on a connection of its own."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._inference_port, timeout=ANSWER_TIMEOUT_S
        )
        started_at = time.perf_counter()
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/predictions/digits", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), time.perf_counter() - started_at
        except (OSError, http.client.HTTPException) as error:
            raise ServerFailed(f"A prediction failed: {error!r}. {self.last_output()}") from None
        finally:
            connection.close()

    def wait_until_it_ends(self) -> None:
        assert self._process is not None
        self._process.wait()

    def last_output(self) -> str:
        if not self._output_file.exists():
            return "It printed nothing."
        lines = self._output_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return "Its last output:\n" + "\n".join(lines[-LINES_SHOWN_ON_FAILURE:])

    def stop(self) -> None:
        """End the server and whatever it started; no further Ctrl-C cuts this short."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the rule: nothing was left
            self._process.wait()
        shutil.rmtree(self._temporary, ignore_errors=True)
