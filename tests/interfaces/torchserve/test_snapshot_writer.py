"""What is written of snapshots, without a server."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mms.interfaces.torchserve.front.snapshot_writer import SnapshotWriter
from mms.serving import RegisterOptions
from mms.settings import Settings


def model(url: str, **values: Any) -> Any:
    options = RegisterOptions(url, **values)
    return SimpleNamespace(
        name=url.partition(".")[0],
        version=None,
        registration=options,
        effective=options.with_defaults(Settings()),
        startup_source=None,
        min_workers=1,
        max_workers=2,
        runtime="python",
        model=SimpleNamespace(config=SimpleNamespace(response_timeout_s=120.0)),
    )


def writer(folder: Path, *models: Any) -> tuple[SnapshotWriter, Any]:
    registry = SimpleNamespace(all=lambda: list(models), is_default=lambda _: True)
    host: Any = SimpleNamespace(registry=registry, registration_listeners=[])
    found = SnapshotWriter.of(Settings(log_dir=str(folder)), host)
    assert found is not None
    return found, host


def kinds(folder: Path) -> list[str]:
    return sorted(path.name[18:] for path in folder.glob("config/*"))


async def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    first = model("a.mar")
    snapshots, host = writer(tmp_path, first)
    await snapshots.start()
    [follow] = host.registration_listeners
    await follow()
    assert kinds(tmp_path) == ["startup.cfg"]
    first.min_workers = 2
    await follow()
    await snapshots.stop()
    assert kinds(tmp_path) == ["shutdown.cfg", "snapshot.cfg", "startup.cfg"]
    assert not host.registration_listeners


async def test_the_oldest_of_its_own_files_go_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    own = [folder / f"202001010000{number:05d}-snapshot.cfg" for number in range(60)]
    others = [folder / "mine.cfg", folder / "20200101-startup.cfg"]
    for path in own + others:
        path.touch()
    snapshots, _ = writer(tmp_path)
    await snapshots.start()
    left = set(folder.iterdir())
    assert set(others) <= left
    assert left & set(own) == set(own[11:])


async def test_a_folder_that_cannot_be_written_to_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config").write_text("a file")
    snapshots, host = writer(tmp_path, first := model("a.mar"))
    with caplog.at_level(logging.WARNING, "mms.serving"):
        await snapshots.start()
        first.min_workers = 3
        await host.registration_listeners[0]()
    assert caplog.text.count("Snapshots cannot be written") == 1


async def test_a_row_has_what_the_registration_says_in_the_units_of_its_keys(
    tmp_path: Path,
) -> None:
    given = {"request_timeout_s": 1.5, "job_queue_size": 7, "gpu_ids": (0, 2)}
    snapshots, _ = writer(tmp_path, model("a.mar", batch_size=4, **given))
    row = snapshots._models()["a"]["1.0"]
    assert (row["marName"], row["batchSize"], row["maxBatchDelay"]) == ("a.mar", 4, 100)
    assert row["fromOperator"] is False
    assert (row["requestTimeout"], row["jobQueueSize"], row["deviceIds"]) == (1.5, 7, [0, 2])


@pytest.mark.parametrize("members", [{"ignores_snapshots": True}, {"state_file": "state"}])
def test_none_are_written_where_they_are_refused_or_a_state_file_does_more(
    members: dict[str, Any],
) -> None:
    assert SnapshotWriter.of(Settings(**members), None) is None  # type: ignore[arg-type]
