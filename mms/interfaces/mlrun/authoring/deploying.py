"""Functions to servers: by the management API of one that runs, or by starting one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from mms.bodies.json_text import from_json, to_json
from mms.fetch.http_client import Answer, NoConnection, call_once
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, MLRunRuntimeError
from mms.processes.launch_options import default_pid_file

MANAGEMENT_VARIABLE = "MMS_MANAGEMENT_ADDRESS"
INFERENCE_VARIABLE = "MMS_INFERENCE_ADDRESS"
DEFAULT_MANAGEMENT_ADDRESS = "http://127.0.0.1:8081"
DEFAULT_INFERENCE_ADDRESS = "http://127.0.0.1:8080"
#: Models may take minutes to load.
_DEPLOY_TIMEOUT_S = 600.0
_ASK_TIMEOUT_S = 60.0
_POLL_S = 0.1
_LOG_CHARACTERS = 4000
# With `-m` the current folder would be searched for modules first: a `queue.py` in it would take the place of Python's.
_PROGRAM = (
    "import sys; sys.path = sys.path['' in sys.path[:1]:]; from mms.cli.mms import main; main()"
)


class Deployment:
    """A server of this machine, or another, that functions are brought to. Keeps no connection."""

    def __init__(
        self, management_address: str | None = None, inference_address: str | None = None
    ) -> None:
        """Raises MLRunInvalidArgumentError for an address that is none."""
        self.management_address = _address(
            management_address or os.environ.get(MANAGEMENT_VARIABLE) or DEFAULT_MANAGEMENT_ADDRESS
        )
        self.inference_address = _address(
            inference_address or os.environ.get(INFERENCE_VARIABLE) or DEFAULT_INFERENCE_ADDRESS
        )
        self._timeout_s = _DEPLOY_TIMEOUT_S

    def __repr__(self) -> str:
        return f"<Deployment to {self.management_address}>"

    def deploy(
        self,
        name: str,
        document: dict[str, Any],
        workers: int = 1,
        variables: dict[str, str] | None = None,
        readiness_timeout_s: float | None = None,
    ) -> str:
        """Serve a function, and return the address where it answers.

        `variables`: of the processes of a server that has to be started. `readiness_timeout_s`: models may take so long
        to load. Raises MLRunRuntimeError with the reason.
        """
        try:
            text = to_json(document)
        except TypeError as error:
            raise MLRunInvalidArgumentError(
                f"function {name} cannot be written as JSON: {error}"
            ) from error
        if readiness_timeout_s:
            self._timeout_s = max(_DEPLOY_TIMEOUT_S, readiness_timeout_s + _ASK_TIMEOUT_S)
        if self._is_up():
            self._register(name, text, workers)
        else:
            self._start(name, text, workers, variables or {})
        return self.inference_address

    def _is_up(self) -> bool:
        try:
            _call(self.management_address, "GET", "/models?limit=1")
        except OSError:
            return False
        return True

    def _register(self, name: str, text: bytes, workers: int) -> None:
        path = f"/models/{quote(name, safe='')}"
        if self._ask("GET", path).status == 200:
            answer = self._ask("DELETE", path)
            if answer.status >= 400:
                raise MLRunRuntimeError(f"function {name} could not be replaced: {_said(answer)}")
        request = b'{"model_name":%b,"initial_workers":%d,"synchronous":true,"serving_spec":%b}' % (
            to_json(name),
            workers,
            text,
        )
        answer = self._ask("POST", "/models", request)
        if answer.status >= 400:
            raise MLRunRuntimeError(
                f"{self.management_address} refused function {name}: {_said(answer)}"
            )

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return _call(
            self.management_address, method, path, body, headers, timeout_s=self._timeout_s
        )

    def _start(self, name: str, text: bytes, workers: int, variables: dict[str, str]) -> None:
        """Start a server of the function's own, in the background."""
        folder = tempfile.mkdtemp(prefix=f"mms-{name}-")
        spec = os.path.join(folder, "serving_spec.json")
        with open(spec, "wb") as file:
            file.write(text)
        settings = {
            "management_address": self.management_address,
            "inference_address": self.inference_address,
        }
        command = [
            sys.executable,
            "-c",
            _PROGRAM,
            "mlrun",
            "serve",
            spec,
            "--workers",
            str(workers),
            "--pid-file",
            str(_pid_file(folder)),
        ]
        for setting, value in settings.items():
            command += ["--set", f"{setting}={value}"]
        log = os.path.join(folder, "server.log")
        environ = {"LOG_LOCATION": folder, "METRICS_LOCATION": folder, **os.environ, **variables}
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=folder,
                start_new_session=True,
            )
        # It outlives this process, which is not to be told that it did.
        _STARTED.append(process)
        deadline = time.monotonic() + self._timeout_s
        while not self._serves():
            if process.poll() is not None:
                raise MLRunRuntimeError(
                    f"the server of function {name} ended with exit code {process.returncode}: {_tail(log)}"
                )
            if time.monotonic() > deadline:
                process.terminate()
                raise MLRunRuntimeError(
                    f"the server of function {name} did not come up within {self._timeout_s:g} s: {_tail(log)}"
                )
            time.sleep(_POLL_S)

    def _serves(self) -> bool:
        try:
            return _call(self.inference_address, "GET", "/ping").status == 200
        except OSError:
            return False


def _pid_file(folder: str) -> Path:
    """Return where `multi-model-server --stop` looks for a server; where another one is there, a file in the folder."""
    path = default_pid_file().absolute()
    try:
        os.kill(int(path.read_text()), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError, OverflowError):
        return path
    except OSError:
        # Another user's.
        pass
    return Path(folder) / "server.pid"


#: Servers that this process brought up.
_STARTED: list[subprocess.Popen[bytes]] = []


def path_of_function(name: str, path: str) -> str:
    """Return where a path of a function is in a server that may have others, too."""
    return f"/v2/models/{quote(name, safe='')}/{path.lstrip('/')}"


def is_post(method: str | None, body: Any) -> bool:
    """Return whether a request is none by GET: unless its method says so, by its body."""
    return method.upper() != "GET" if method else bool(body)


def ask_function(
    address: str,
    path: str,
    body: Any = None,
    method: str | None = None,
    headers: dict[str, Any] | None = None,
    timeout: float | None = None,
    **_: Any,
) -> Any:
    """Return the value that a deployed function answers: decoded where it is JSON, else bytes. Raises RuntimeError.

    `timeout` is in seconds.
    """
    if "://" in path:
        parts = urlsplit(path)
        address = f"{parts.scheme}://{parts.netloc}"
        path = parts.path + (f"?{parts.query}" if parts.query else "")
    content: bytes | None = None
    sent = {str(name): str(value) for name, value in (headers or {}).items()}
    if body is not None:
        if isinstance(body, str | bytes | bytearray):
            content = body.encode() if isinstance(body, str) else bytes(body)
        else:
            content = to_json(body)
            if not any(name.lower() == "content-type" for name in sent):
                sent["Content-Type"] = "application/json"
    method = method or ("POST" if is_post(method, body) else "GET")
    path = f"/{path.lstrip('/')}"
    try:
        answer = _call(address, method, path, content, sent, timeout_s=timeout or _ASK_TIMEOUT_S)
    except OSError as error:
        raise MLRunRuntimeError(f"function at {address} cannot be reached: {error}") from error
    if answer.status >= 400:
        raise MLRunRuntimeError(f"bad function response {_said(answer)}")
    if answer.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        return from_json(answer.body)
    return answer.body


def _call(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = _ASK_TIMEOUT_S,
) -> Answer:
    """Ask the server. Raises OSError where nobody answers as HTTP does."""
    try:
        return call_once(
            method, f"{address}{path}", body, headers or {}, timeout_s, uses_proxies=False
        )
    except NoConnection as error:
        raise OSError(f"{address} does not answer as HTTP does: {error}") from error


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MLRunInvalidArgumentError(
            f"{text} is not an address of a server: http://host:port or https://host:port is right"
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(parts.hostname, parts.hostname)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def _said(answer: Answer) -> str:
    text = answer.body.decode("utf-8", "replace").strip()
    return f"{answer.status}: {text[:_LOG_CHARACTERS]}"


def _tail(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as lines:
        return lines.read()[-_LOG_CHARACTERS:].strip()
