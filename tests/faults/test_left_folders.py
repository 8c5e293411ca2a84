"""Folders of servers that were killed, at whatever moment: the next start removes them, and nobody else's."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mms.machine.runtime_dir import RuntimeDir

#: Makes a folder with files and folders in it, removes it, and ends in the middle of that, at one of the steps.
_KILLED_WHILE_IT_CLEANS_UP = """
import os, sys
from mms.machine.runtime_dir import RuntimeDir
made = RuntimeDir.create(sys.argv[1])
for name in ("models/a/b", "models/c"):
    (made.path / name).mkdir(parents=True)
    (made.path / name / "file").touch()
(made.path / "front.sock").touch()
steps = int(sys.argv[2])
def counted(call):
    def step(*arguments, **options):
        global steps
        if not steps:
            os._exit(9)
        steps -= 1
        return call(*arguments, **options)
    return step
os.unlink, os.rmdir = counted(os.unlink), counted(os.rmdir)
made.remove()
"""


@pytest.fixture(name="parent")
def parent_of_folders() -> Iterator[Path]:
    """A folder with a short path, as a socket's path has few bytes."""
    with tempfile.TemporaryDirectory(prefix="mmsf-") as short:
        yield Path(short)


def _folders(parent: Path) -> list[Path]:
    return list(parent.glob(".mms-*"))


def test_a_server_that_is_killed_while_it_cleans_up_leaves_nothing_for_ever(parent: Path) -> None:
    command = [sys.executable, "-c", _KILLED_WHILE_IT_CLEANS_UP, str(parent)]
    steps = 0
    while subprocess.run([*command, str(steps)], check=False).returncode == 9:
        left = _folders(parent)
        assert len(left) == 1, steps
        RuntimeDir.create(str(parent)).remove()
        assert _folders(parent) == [], steps
        steps += 1
    # Files, folders, the socket, the lock, the folder itself.
    assert steps >= 8


def test_a_folder_without_a_lock_is_removed_unless_somebody_listens_in_it() -> None:
    with tempfile.TemporaryDirectory(prefix="mmsf-") as short:
        left, used = Path(short, ".mms-left"), Path(short, ".mms-used")
        for folder in (left, used):
            (folder / "models").mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as listening:
            dead.bind(str(left / "front.sock"))
            listening.bind(str(used / "front.sock"))
            listening.listen()
            made = RuntimeDir.create(short)
            assert set(_folders(Path(short))) == {used, made.path}
        made.remove()


def test_a_folder_of_a_running_server_stays(parent: Path) -> None:
    running = RuntimeDir.create(str(parent))
    second = RuntimeDir.create(str(parent))
    assert set(_folders(parent)) == {running.path, second.path}
    second.remove()
    running.remove()


def test_a_start_whose_folder_another_start_takes_for_left_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp
    taken = []

    def made_and_taken(**options: str) -> str:
        path = make(**options)
        if not taken:
            taken.append(path)
            RuntimeDir.create(options["dir"]).remove()
            assert not Path(path).exists()
        return path

    monkeypatch.setattr(tempfile, "mkdtemp", made_and_taken)
    made = RuntimeDir.create(str(tmp_path))
    assert (made.path / "lock").exists()
    assert str(made.path) not in taken
    made.remove()
