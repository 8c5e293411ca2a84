"""A folder or a file that is followed, as clients see it: archives are copied into it, replaced and removed by hand."""

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


def test_what_a_file_says_is_served_and_management_tells_what_came_of_it(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    file = tmp_path / "models.yaml"
    server = start_server({"models_file": str(file), "models_file_interval_s": "0.1"})
    server.write_model("m", _SAYS.format("one"), manifest("m"))
    assert server.management.get("/models-file").json()["status"] == "FAILED"
    file.write_text("models: [{url: m, initial_workers: 1}]", encoding="utf-8")
    eventually("it answers", lambda: _says(server, "one"))
    told = server.management.get("/models-file").json()
    assert (told["status"], told["models"]) == (
        "APPLIED",
        [{"modelName": "m", "modelUrl": "m", "status": "READY"}],
    )
    file.write_text("models: []", encoding="utf-8")
    eventually("it is gone", lambda: server.inference.post("/predictions/m", b"x").status == 404)


def test_where_no_file_is_followed_management_says_so(main_server: Server) -> None:
    reply = main_server.management.get("/models-file")
    assert (reply.status, reply.json()["type"]) == (404, "ResourceNotFoundException")
    assert "not set" in reply.json()["message"]
