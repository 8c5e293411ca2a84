"""Snapshots: what a server writes down of its models, and the next one loads."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from mms.text import properties

from .conftest import COMMAND, TorchServe, archive


def snapshots(folder: Path) -> list[Path]:
    return sorted((folder / "logs/config").glob("*.cfg"))


def models_of(path: Path) -> dict[str, Any]:
    entries = {each.key: each.value for each in properties.parse(path.read_text())}
    document = json.loads(entries["model_snapshot"])
    assert document["name"] == path.name
    found: dict[str, Any] = document["models"]
    return found


def test_a_server_starts_as_the_last_one_ended(tmp_path: Path) -> None:
    first = TorchServe(tmp_path, "--enable-model-api", "--disable-token-auth")
    archive(first.store, "echo")
    archive(first.store, "gone")
    secret = "keystore_pass=$$TORCHSERVE_TEST_SECRET$$\n"
    with first.config_file.open("a") as file:
        file.write(secret)
    first.environment |= {
        "TORCHSERVE_TEST_SECRET": "hidden",
        "LOG_LOCATION": str(tmp_path / "logs"),
    }
    try:
        first.start()
        [startup] = snapshots(tmp_path)
        assert startup.name.endswith("-startup.cfg")
        assert models_of(startup) == {}
        for name in ("echo", "gone"):
            reply = first.management.post(f"/models?url={name}.mar&batch_size=3&response_timeout=7")
            assert reply.status == 200
        assert len(snapshots(tmp_path)) == 3
        assert first.management.put("/models/echo?min_worker=1&synchronous=true").status == 200
        first.stop()
        *_, scaled, shutdown = snapshots(tmp_path)
        assert (scaled.name[18:], shutdown.name[18:]) == ("snapshot.cfg", "shutdown.cfg")
        text = shutdown.read_text()
        assert "TORCHSERVE_TEST_SECRET" in text and "hidden" not in text
        assert stat.S_IMODE(shutdown.stat().st_mode) == 0o600
        row = models_of(shutdown)["echo"]["1.0"]
        assert (row["minWorkers"], row["batchSize"], row["responseTimeout"]) == (1, 3, 7)

        (first.store / "gone.mar").unlink()
        first.arguments = [*COMMAND, "--start", "--foreground", "--model-store", str(first.store)]
        first.arguments += ["--disable-token-auth"]
        first.start()
        listed = first.management.get("/models").json()["models"]
        assert [model["modelName"] for model in listed] == ["echo"]
        [described] = first.management.get("/models/echo").json()
        assert (described["minWorkers"], described["batchSize"]) == (1, 3)
        assert described["responseTimeout"] == 7
        # Who may bring code is said at each start anew.
        assert first.management.post("/models?url=echo.mar").status == 405
        # The file may be back at the next start.
        assert set(models_of(snapshots(tmp_path)[-1])) == {"echo", "gone"}
        first.stop()
    finally:
        first.kill()
