"""A folder that is followed, as clients see it: archives are copied into it, replaced and removed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.server import Server, manifest
from support.waiting import eventually

from .archives import model_files, write_archive

pytestmark = pytest.mark.better_than_mms

_SAYS = "def handle(data, context):\n    return data and ['{}'] * len(data)\n"


def _put(folder: Path, text: str) -> None:
    """As `cp` and `mv` do it: nobody sees half an archive."""
    made = write_archive(folder / ".m.mar", model_files(manifest("m"), _SAYS.format(text)))
    made.rename(folder / "m.mar")


def _says(server: Server, text: str) -> bool:
    reply = server.inference.post("/predictions/m", b"x")
    return (reply.status, reply.text) == (200, text)


def test_archives_are_served_as_long_as_they_lie_in_the_folder(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    folder = tmp_path / "followed"
    folder.mkdir()
    _put(folder, "one")
    server = start_server(
        {
            "models_dir": str(folder),
            "models_dir_interval_s": "0.1",
            "default_workers_per_model": "1",
        }
    )
    assert server.inference.get("/ping").status == 200
    eventually("the model of the start answers", lambda: _says(server, "one"))
    _put(folder, "another")
    eventually("the changed one answers", lambda: _says(server, "another"))
    (folder / "m.mar").unlink()
    eventually("it is gone", lambda: server.inference.post("/predictions/m", b"x").status == 404)
    assert server.management.get("/models").json()["models"] == []
