"""`mms tune` and `mms bench` against a real server, over TLS and a Unix socket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from support.server import Server, manifest, unique_name
from support.waiting import eventually

from mms.cli.mms import main

pytestmark = pytest.mark.better_than_mms

_SOURCE = "def handle(data, context):\n    return ['ok'] * len(data or [1])\n"
#: It takes few requests to load it.
_BROKEN_IF_LARGE = """
import time
def handle(data, context):
    time.sleep(0.004)
    if context.system_properties["batch_size"] > 1:
        raise MemoryError("no room for a batch")
    return ["ok"] * len(data or [1])
"""
_SMALL = (
    *("--max-workers", "1", "--max-threads", "1", "--max-batch-size", "2"),
    *("--duration", "0.1", "--warm-up", "0", "-d", "x", "--insecure"),
)


def _where(server: Server) -> list[str]:
    return [
        *("--inference", f"https://localhost:{server.inference.address.port}"),
        *("--management", f"unix:{server.management.address.unix_path}"),
    ]


def _served(server: Server, source: str) -> str:
    name = unique_name("tuned")
    server.write_model(name, source, manifest(name))
    reply = server.register(name, model_name=name, initial_workers=1)
    assert reply.status == 200, reply.json()
    return name


def _names(server: Server) -> list[str]:
    return [
        model["modelName"] for model in server.management.get("/models?limit=1000").json()["models"]
    ]


def test_numbers_are_found_on_a_copy_and_written_beside_what_is_there(
    secure_server: Server, tmp_path: Path, is_full: bool
) -> None:
    if not is_full:
        pytest.skip("takes a dozen loads; the search itself is tested without a server")
    name = _served(secure_server, _BROKEN_IF_LARGE)
    config = tmp_path / "model-config.yaml"
    config.write_text("# ours\nbatchSize: 64  # once\nhandler:\n  batchSize: 7\n")
    argv = ["tune", name, "--slo", "p50=100ms", "-o", str(config), "--json", *_SMALL]
    result = CliRunner().invoke(main, [*argv, *_where(secure_server)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    text = config.read_text()
    assert text.startswith("# ours\n")
    assert "# once" in text
    written = yaml.safe_load(text)
    assert written["handler"] == {"batchSize": 7}
    # With a larger one the model cannot load.
    assert written["batchSize"] == found["best"]["batch_size"] == 1
    assert "cannot run" in result.stderr
    assert (written["minWorkers"], written["threadsPerWorker"]) == (1, 1)
    assert found["requests_per_s"] > 0
    assert _names(secure_server).count(name) == 1
    assert not [each for each in _names(secure_server) if "-tune-" in each]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_stopped_leaves_no_copy_and_no_file(
    secure_server: Server, tmp_path: Path, signal_number: int, is_full: bool
) -> None:
    if signal_number == signal.SIGTERM and not is_full:
        pytest.skip("one handler has both signals; --full alone sends the other one, too")
    name = _served(secure_server, _SOURCE)
    words = ["--slo", "p50=5s", "-d", "x", "--insecure", "--duration", "600"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mms.cli.mms", "tune", name, *words, *_where(secure_server)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        eventually(
            "the copy is there",
            lambda: any(f"{name}-tune-" in each for each in _names(secure_server)),
        )
        process.send_signal(signal_number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, output
    assert b"known so far" in output
    assert not [each for each in _names(secure_server) if "-tune-" in each]
    assert list(tmp_path.iterdir()) == []


def test_a_load_goes_through_tls(secure_server: Server) -> None:
    name = _served(secure_server, _SOURCE)
    argv = ["bench", name, *_where(secure_server)[:2], "-d", "x", "--duration", "0.1"]
    result = CliRunner().invoke(main, [*argv, "--warm-up", "0", "--insecure"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, argv)
    assert (result.exit_code, "--insecure accepts it" in result.output) == (3, True)
