"""Folders of models on a node: once for all workers, gone with the last one, and never what the front has not sent."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mms.launch.nodes.folders import InvalidFolder, NodeFolder, pack, sweep, unpack


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "parts").mkdir(parents=True)
    (folder / "service.py").write_text("x = 1\n")
    (folder / "parts" / "weights.bin").write_bytes(bytes(range(256)) * 40_000)
    (folder / "same.bin").symlink_to(folder / "parts" / "weights.bin")
    return folder


def packed(path: Path) -> tuple[str, list[bytes]]:
    chunks: list[bytes] = []
    return pack(path, chunks.append), chunks


def test_a_node_has_what_the_front_has_with_links_followed(model: Path, tmp_path: Path) -> None:
    digest, chunks = packed(model)
    assert len(chunks) > 1
    root = tmp_path / "node"
    root.mkdir()
    found = NodeFolder(root, digest).take(lambda: chunks, "model")
    assert (found / "service.py").read_text() == "x = 1\n"
    weights = (model / "parts" / "weights.bin").read_bytes()
    assert (found / "same.bin").read_bytes() == weights
    assert not (found / "same.bin").is_symlink()


def test_one_file_keeps_its_name(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"1")
    digest, chunks = packed(file)
    root = tmp_path / "node"
    root.mkdir()
    assert NodeFolder(root, digest).take(lambda: chunks, "model.pkl").read_bytes() == b"1"


def test_many_workers_fetch_once_and_the_last_one_leaves_nothing(
    model: Path, tmp_path: Path
) -> None:
    digest, chunks = packed(model)
    root = tmp_path / "node"
    root.mkdir()
    fetches: list[int] = []

    def fetch() -> Iterator[bytes]:
        fetches.append(1)
        yield from chunks

    folders = [NodeFolder(root, digest) for _ in range(4)]
    threads = [threading.Thread(target=folder.take, args=(fetch, "model")) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(fetches) == 1
    for folder in folders[1:]:
        folder.release()
    assert (root / digest).exists()
    folders[0].release()
    assert list(root.iterdir()) == []


def test_what_a_killed_process_left_is_swept(model: Path, tmp_path: Path) -> None:
    digest, chunks = packed(model)
    root = tmp_path / "node"
    root.mkdir()
    killed, held = NodeFolder(root, digest), NodeFolder(root, "other")
    killed.take(lambda: chunks, "model")
    # Its end takes its lock, as the kernel does.
    os.close(killed._lock)
    (root / "other").mkdir()
    held.take(list, "model")
    (root / f"{digest}.part-x").mkdir()
    sweep(root)
    assert sorted(path.name for path in root.iterdir()) == ["other", "other.lock"]
    held.release()


@pytest.mark.parametrize("name", ["content/../../evil", "/evil", "other/evil", "content//evil"])
def test_no_file_lands_outside(tmp_path: Path, name: str) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo(name)
        archive.addfile(member, io.BytesIO())
    with pytest.raises(InvalidFolder):
        unpack([content.getvalue()], tmp_path, "0")
    assert list(tmp_path.rglob("evil")) == []


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("content/a")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(member)
    with pytest.raises(InvalidFolder, match="neither a file nor a folder"):
        unpack([content.getvalue()], tmp_path, "0")


def test_other_bytes_than_the_front_has_are_refused_and_leave_nothing(
    model: Path, tmp_path: Path
) -> None:
    _, chunks = packed(model)
    root = tmp_path / "node"
    root.mkdir()
    with pytest.raises(InvalidFolder, match="SHA-256"):
        NodeFolder(root, "0" * 64).take(lambda: chunks, "model")
    assert [path.name for path in root.iterdir()] == ["0" * 64 + ".lock"]
