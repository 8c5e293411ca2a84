"""A server under test: started by command in a folder of its own, used over its sockets."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from .client import Address, Client, Reply
from .keys import KeyFiles, write_keys
from .processes import (
    base_environment,
    command_line,
    free_port,
    is_original,
    kill_tagged,
    server_command,
    tagged_processes,
)
from .waiting import eventually

MODELS = Path(__file__).parents[1] / "conformance" / "models"
STARTED = "Model server started."
START_LIMIT_S = 40.0
STOP_LIMIT_S = 20.0
#: What all servers of a run have by its options; their own settings are stronger.
SETTINGS_OF_RUN: dict[str, str] = {}
#: Words of the command lines of processes that are no workers.
_NO_WORKERS = {"mms.processes.keeper", "--fork-server"}
_names = itertools.count(1)


class ServerDidNotStart(Exception):
    """Carries the exit code and everything the server printed."""

    def __init__(self, exit_code: int | None, output: str) -> None:
        super().__init__(f"exit code {exit_code}, output:\n{output}")
        self.exit_code = exit_code
        self.output = output


class Server:
    """One server process group.

    `settings` become the config file, None leaves one out; addresses on free ports are added where
    they are not given.
    Every process of the server carries a tag in its environment, so that none escapes `stop`.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str | None] | None = None,
        *,
        inference: Address | None = None,
        management: Address | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        without_variables: Sequence[str] = (),
        is_combined: bool = False,
        has_config_flag: bool = True,
        more_config: str = "",
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.store = directory / "store"
        if not self.store.exists():
            shutil.copytree(MODELS, self.store, ignore=shutil.ignore_patterns("__pycache__"))
        inference = inference or Address(port=free_port())
        management = inference if is_combined else management or Address(port=free_port())
        self.inference = Client(inference)
        self.management = Client(management)
        self.settings = {
            "inference_address": inference.setting(),
            "management_address": management.setting(),
            "model_store": str(self.store),
            **SETTINGS_OF_RUN,
            **(settings or {}),
        }
        self.config_file = directory / "config.properties"
        lines = [f"{key}={value}\n" for key, value in self.settings.items() if value is not None]
        self.config_file.write_text("".join(lines) + more_config, encoding="latin-1")
        self.tag = uuid.uuid4().hex
        self.arguments = [
            server_command(),
            "--start",
            "--foreground",
            *(["--mms-config", str(self.config_file)] if has_config_flag else []),
            *arguments,
        ]
        self.environment = base_environment(directory, self.tag) | dict(environment or {})
        for name in without_variables:
            del self.environment[name]
        self.logs = directory / "logs"
        self.temporary = directory / "tmp"
        self._output_file = directory / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._shared: dict[str, str] = {}

    # Life

    def start(self) -> Server:
        with open(self._output_file, "wb") as output:
            self._process = subprocess.Popen(
                self.arguments,
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            eventually(STARTED, self._has_started_or_ended, START_LIMIT_S)
        except AssertionError:
            self.kill()
            raise ServerDidNotStart(None, self.output()) from None
        if STARTED not in self.output():
            exit_code = self._process.wait()
            self.kill()
            raise ServerDidNotStart(exit_code, self.output())
        return self

    def _has_started_or_ended(self) -> bool:
        assert self._process is not None
        has_ended = self._process.poll() is not None
        return has_ended or STARTED in self.output()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal_main(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float = STOP_LIMIT_S) -> int:
        assert self._process is not None
        return self._process.wait(timeout_s)

    def processes(self) -> list[int]:
        return [process.pid for process in tagged_processes(self.tag)]

    def workers(self) -> set[int]:
        """Its processes but those that only start, fork and keep others."""
        processes = tagged_processes(self.tag)
        return {
            process.pid
            for process in processes
            if not _NO_WORKERS.intersection(command_line(process))
        }

    def stop(self) -> None:
        """SIGTERM to the process that was started; nothing of it may remain."""
        if self._process is None:
            return
        if is_original():
            # It leaves the parents of its workers behind when it gets a signal.
            for process in tagged_processes(self.tag):
                with contextlib.suppress(OSError):
                    process.terminate()
            self.kill()
            return
        left: list[psutil.Process] | None = None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_LIMIT_S)
            deadline = time.monotonic() + 15.0
            while (left := tagged_processes(self.tag)) and time.monotonic() < deadline:
                time.sleep(0.02)
            described = [f"{process.pid}: {command_line(process)}" for process in left]
            assert not described, f"processes outlived the server: {described}"
        finally:
            if left != []:
                self.kill()

    def kill(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        kill_tagged(self.tag)

    # What it wrote

    def output(self) -> str:
        return self._output_file.read_text(encoding="utf-8", errors="replace")

    def log(self, name: str) -> str:
        file = self.logs / name
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def wait_for_log(self, name: str, pattern: str, timeout_s: float = 20.0) -> re.Match[str]:
        """The first match of `pattern` (MULTILINE) in a log file."""

        def find() -> re.Match[str] | None:
            return re.search(pattern, self.log(name), re.MULTILINE)

        found = eventually(f"{pattern!r} in {name}", find, timeout_s)
        assert found is not None
        return found

    # Models

    def register(self, url: str, **parameters: object) -> Reply:
        return self.management.post("/models?" + query(url=url, **parameters))

    def unregister(self, name: str) -> Reply:
        return self.management.delete("/models/" + urllib.parse.quote(name, safe=""))

    def describe(self, name: str) -> Any:
        reply = self.management.get("/models/" + urllib.parse.quote(name, safe=""))
        assert reply.status == 200, reply
        return reply.json()

    @contextlib.contextmanager
    def registered(self, url: str, **parameters: object) -> Iterator[str]:
        """A model under a name of its own, with one loaded worker; unregistered at the end."""
        name = str(parameters.pop("model_name", unique_name(Path(url).stem)))
        options = {"initial_workers": 1, "synchronous": "true"} | parameters
        reply = self.register(url, model_name=name, **options)
        assert reply.status == 200, reply
        try:
            yield name
        finally:
            self.unregister(name)

    def shared(self, url: str, **parameters: object) -> str:
        """The name of a model that is registered once and kept, for tests that only predict."""
        key = query(url=url, **parameters)
        if key not in self._shared:
            name = unique_name(Path(url).stem)
            options = {"initial_workers": 1, "synchronous": "true"} | parameters
            reply = self.register(url, model_name=name, **options)
            assert reply.status == 200, reply
            self._shared[key] = name
        return self._shared[key]

    def wait_until_queued(self, name: str, count: int) -> None:
        """Until so many requests wait for a worker."""
        if is_original():
            # It does not tell. This is answered after what had arrived before it was read.
            assert self.inference.get("/ping").status == 200
            return
        eventually(
            f"{count} requests are queued",
            lambda: self.describe(name)["jobQueueStatus"]["pendingRequests"] == count,
        )

    def write_model(
        self, name: str, source: str, manifest: Mapping[str, object] | str | None = None
    ) -> str:
        """A folder in the store with `service.py` and, if given, a manifest."""
        folder = self.store / name
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "service.py").write_text(source, encoding="utf-8")
        if manifest is None:
            (folder / "MAR-INF").rmdir()
        else:
            text = manifest if isinstance(manifest, str) else json.dumps(manifest)
            (folder / "MAR-INF" / "MANIFEST.json").write_text(text, encoding="utf-8")
        return name


def query(**parameters: object) -> str:
    return urllib.parse.urlencode({key: str(value) for key, value in parameters.items()})


def unique_name(stem: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9]', '-', stem)}-{next(_names)}"


def manifest(name: str = "model", handler: str = "service:handle", **extra: object) -> Any:
    """A small manifest; `model` fields go in by the keyword `model`."""
    model = {"modelName": name, "handler": handler}
    additions = extra.pop("model", {})
    assert isinstance(additions, dict)
    return {
        "runtime": "python",
        "model": model | additions,
        "modelServerVersion": "1.0",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
        **extra,
    }


_Made = TypeVar("_Made", bound=Server)


class ServerPool:
    """The long-lived servers that many tests share, by profile and lane; started when needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: dict[tuple[str, str], Server] = {}
        self._count = itertools.count(1)

    @functools.cached_property
    def keys(self) -> KeyFiles:
        return write_keys(self._directory / "keys")

    def new_directory(self) -> Path:
        # Kept short: a Unix socket's path has room for about a hundred characters.
        return self._directory / str(next(self._count))

    def get(self, profile: str, lane: str) -> Server:
        key = (profile, lane)
        server = self._servers.get(key)
        if server is None or not server.is_running():
            server = self._build(profile, lane).start()
            self._servers[key] = server
        return server

    def _build(self, profile: str, lane: str) -> Server:
        directory = self.new_directory()
        own = PROFILES[profile]
        settings = {"lane": lane, **own}
        if profile == "secure":
            settings |= {
                "private_key_file": str(self.keys.private_key),
                "certificate_file": str(self.keys.certificate),
            }
            return Server(
                directory,
                settings,
                inference=Address(port=free_port(), is_tls=True),
                management=Address(unix_path=str(directory / "management.sock")),
            )
        return Server(directory, settings, is_combined=profile == "combined")

    def stop_all(self) -> None:
        failures = []
        for key, server in self._servers.items():
            try:
                server.stop()
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failures.append(f"{key}: {error}")
        self._servers.clear()
        assert not failures, failures


PROFILES: dict[str, dict[str, str]] = {
    # Two listeners, one model loaded at start, everything else as it is by default.
    "main": {"load_models": "noop", "max_request_size": "10485760"},
    # One listener, two models loaded at start, input handed over undecoded, CORS.
    "combined": {
        "load_models": "noop,named=echo",
        "default_workers_per_model": "1",
        "decode_input_request": "false",
        "default_service_handler": "service:handle",
        "cors_allowed_origin": "https://example.org",
        "cors_allowed_methods": "GET, POST, PUT, OPTIONS",
        "cors_allowed_headers": "X-Custom-Header",
        "max_response_size": "5000",
    },
    # Inference over TLS, management over a Unix socket. Tests leave no model on it.
    "secure": {"load_models": "noop", "default_workers_per_model": "1"},
    # For Seldon's components.
    "seldon": {"default_workers_per_model": "1"},
    # For MLRun's models alone.
    "mlrun": {"default_workers_per_model": "1"},
    # The same, with every switch away from its default.
    "mlrun-strict": {
        "default_workers_per_model": "1",
        "strict_status": "true",
        "nan_policy": "error",
        "mlrun_body_operation": "true",
        "mlrun_event_headers": "true",
        "mlrun_data_url": "true",
        "allowed_urls": "file:///.*",
        "default_model": "m2",
    },
    # Small limits.
    "tight": {
        "job_queue_size": "2",
        "max_request_size": "2000",
        "unregister_model_timeout": "0",
        "blacklist_env_vars": ".*PASSWORD.*",
    },
    # Little time for clients, few of them. Timeouts are looked after once a second.
    "fronted": {"load_models": "noop", "default_workers_per_model": "1", "fronts": "2"},
    "hasty": {
        "load_models": "noop",
        "default_workers_per_model": "1",
        "keep_alive_timeout_s": "1",
        "head_timeout_s": "1",
        "body_timeout_s": "1",
        "max_connections": "8",
        "max_request_size": "20000",
    },
}


def by_lane(
    servers: ServerPool, make: Callable[[Path, str], _Made]
) -> Iterator[Callable[[str], _Made]]:
    """For fixtures of modules: the server of `lane=on` or `lane=off`, started when it is first asked for.

    `make`: of a folder that is not there yet, and `on` or `off`.
    """
    running: dict[str, _Made] = {}

    def get(lane: str) -> _Made:
        if lane not in running:
            running[lane] = make(servers.new_directory(), lane.removeprefix("lane="))
            running[lane].start()
        return running[lane]

    yield get
    for server in running.values():
        server.stop()
