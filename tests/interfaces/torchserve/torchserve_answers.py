"""Asks a server that speaks TorchServe's protocol about each case. Run as a script, it records what the real one says:

TORCHSERVE_PYTHON=/path/to/python python tests/interfaces/torchserve/torchserve_answers.py
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handler_cases import CASES, Call, Case

RECORDED = Path(__file__).parent / "recorded_answers.json"
#: Headers that clients rely on; of the others only their names are compared.
COMPARED = ("content-type", "pragma", "cache-control", "expires", "x-own")
NAMED = ("x-request-id",)


def write_archive(store: Path, name: str, case: Case) -> Path:
    """Write an archive as `torch-model-archiver` does; returns its path."""
    model: dict[str, Any] = {
        "modelName": name,
        "handler": case.handler,
        "modelVersion": "1.0",
    }
    files = dict(case.files)
    if "model-config.yaml" in files:
        model["configFile"] = "model-config.yaml"
    manifest = {
        "createdOn": "01/12/2026 00:00:00",
        "runtime": "python",
        "model": model,
        "archiverVersion": "0.12.0",
    }
    path = store / f"{name}.mar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("service.py", case.source)
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest, indent=2))
    return path


def ask(port: int, name: str, call: Call) -> dict[str, Any]:
    """Return the answer to one request, as far as it is compared."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = dict(call.headers)
        if call.content_type is not None:
            headers["Content-Type"] = call.content_type
        connection.request(
            call.method, f"/predictions/{name}{call.path}", call.body or None, headers
        )
        reply = connection.getresponse()
        body = reply.read()
    finally:
        connection.close()
    found = {key.lower(): value for key, value in reply.getheaders()}
    return {
        "status": reply.status,
        "headers": {key: found[key] for key in COMPARED if key in found},
        "named": [key for key in NAMED if key in found],
        "body": body.decode("latin-1"),
    }


@contextmanager
def real_server(python: str, envelope: str) -> Iterator[tuple[int, int, Path]]:
    """TorchServe itself: the ports of inference and management, and the model store."""
    from support.processes import free_port

    with tempfile.TemporaryDirectory(prefix="torchserve-") as folder:
        store = Path(folder) / "store"
        store.mkdir()
        names = ("inference_address", "management_address", "metrics_address")
        ports = [free_port() for _ in names]
        lines = [f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)]
        lines += [
            f"{name}={free_port()}" for name in ("grpc_inference_port", "grpc_management_port")
        ]
        if envelope:
            lines.append(f"service_envelope={envelope}")
        lines += ["disable_system_metrics=true", "number_of_netty_threads=2"]
        config = Path(folder) / "config.properties"
        config.write_text("\n".join(lines))
        command = [
            *(str(Path(python).parent / "torchserve"), "--start", "--foreground", "--ncs"),
            *("--disable-token-auth", "--enable-model-api", "--ts-config", str(config)),
            *("--model-store", str(store)),
        ]
        environment = {
            **os.environ,
            "TEMP": folder,
            "TMPDIR": folder,
            "LOG_LOCATION": f"{folder}/logs",
            "METRICS_LOCATION": f"{folder}/logs",
            "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with open(f"{folder}/output", "wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + 120
            while "Model server started." not in Path(f"{folder}/output").read_text("latin-1"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(Path(f"{folder}/output").read_text("latin-1"))
                time.sleep(0.2)
            yield ports[0], ports[1], store
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def manage(port: int, method: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def ask_case(inference: int, management: int, name: str, case: Case) -> list[dict[str, Any]]:
    """Register a case's archive, ask its requests, and unregister it."""
    status, text = manage(
        management, "POST", f"/models?url={name}.mar&initial_workers=1&synchronous=true"
    )
    assert status == 200, f"{name}: {text}"
    answers = [ask(inference, name, call) for call in case.calls]
    manage(management, "DELETE", f"/models/{name}")
    return answers


def ask_real(python: str, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    answers = {}
    for envelope in sorted({CASES[name].envelope for name in names}):
        with real_server(python, envelope) as (inference, management, store):
            for name in names:
                case = CASES[name]
                if case.envelope == envelope:
                    write_archive(store, name, case)
                    answers[name] = ask_case(inference, management, name, case)
    return answers


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2]))
    chosen = sys.argv[1:] or list(CASES)
    known = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    known.update(ask_real(os.environ["TORCHSERVE_PYTHON"], chosen))
    ordered = {name: known[name] for name in CASES if name in known}
    RECORDED.write_text(json.dumps(ordered, indent=1, sort_keys=True) + "\n")
