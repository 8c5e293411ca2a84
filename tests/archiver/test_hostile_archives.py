"""What hostile archives are answered, and that they leave nothing."""

from __future__ import annotations

import gzip
import os
import random
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archive_building import tree, write_tar, write_zip
from hostile_archives import GOOD, HOSTILE, LIMITS, Hostile

from archiver import Archive, ArchiveError, InvalidArchive, Limits
from mms.errors import InvalidModel
from mms.repository import Repository

#: What a refusal may take: far more than it does, far less than what the archives ask for.
_MOST_BYTES = 32 * 2**20
_MOST_S = 20.0


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
async def test_a_hostile_archive_is_refused_by_name_and_leaves_nothing(
    tmp_path: Path, hostile: Hostile
) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    store.mkdir()
    hostile.make(store / "archive")
    before = tree(tmp_path)
    repository = Repository(store, cache, limits=LIMITS)
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(InvalidModel, match=hostile.said) as caught:
            await repository.fetch("archive")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await repository.close()
    assert caught.value.status == 400
    assert peak < _MOST_BYTES
    assert time.monotonic() - started < _MOST_S
    assert tree(tmp_path) == before
    assert not cache.exists() or os.listdir(cache) == []


def test_a_directory_of_a_zip_file_is_refused_before_it_is_made_objects(tmp_path: Path) -> None:
    path = tmp_path / "m.mar"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(25_000):
            archive.writestr(zipfile.ZipInfo(f"f{index}"), b"")
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArchive, match="more than 9000 entries .*'f9000'"):
            Archive.open(path, limits=Limits(max_entries=9000))
        with pytest.raises(InvalidArchive, match="directory of .* bytes"):
            Archive.open(path, limits=Limits(max_entries=100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size * 2
    with Archive.open(path) as opened:
        assert len(opened.entries) == 25_000


def test_manifests_of_a_tar_file_are_not_all_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.tar.gz"
    content = os.urandom(1000) * 3000
    write_tar(path, [(f"{index}/MANIFEST.json", content) for index in range(14)])
    tracemalloc.start()
    try:
        Archive.open(path).close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _MOST_BYTES


def test_what_the_limits_allow_is_unpacked(tmp_path: Path) -> None:
    """The same shapes as the bombs, within the limits."""
    files = [(f"{index}/" + "d/" * 8 + "file", "x" * 1000) for index in range(5)]
    path = write_zip(tmp_path / "m.mar", [*GOOD, *files, ("zeros", b"\0" * 90_000)])
    with Archive.open(path, limits=LIMITS) as archive:
        archive.extract(tmp_path / "out")
    assert len(tree(tmp_path / "out")) == 8
    limits = replace(LIMITS, max_ratio=2000)
    path = write_zip(tmp_path / "n.mar", [("zeros", b"\0" * 3_000_000)])
    with Archive.open(path, limits=limits) as archive:
        assert archive.entries[0].size_bytes == 3_000_000


def test_a_name_that_the_file_system_takes_for_another_is_refused_and_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that know more equal names than those that differ in case."""
    real = os.open

    def folded(path: Path, flags: int, mode: int = 0o777, **others: Any) -> int:
        return real(str(path).replace("\u00ad", ""), flags, mode, **others)

    path = write_zip(tmp_path / "m.mar", [("a", "1"), ("a\u00ad", "2")])
    with Archive.open(path) as archive:
        monkeypatch.setattr(os, "open", folded)
        with pytest.raises(InvalidArchive, match=r"'a\\xad' has the path of another one"):
            archive.extract(tmp_path / "out")
    assert os.listdir(tmp_path) == ["m.mar"]


@pytest.mark.parametrize("kind", ["mar", "tgz", "tar"])
def test_damaged_bytes_anywhere_are_refused_or_harmless(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "archive"
    if kind == "mar":
        data = write_zip(path, [*GOOD, ("d/weights", b"1234" * 50)]).read_bytes()
    else:
        entries = [(name, content.encode()) for name, content in GOOD]
        data = write_tar(path, [*entries, ("d/weights", b"1234" * 50)]).read_bytes()
    plain = gzip.decompress(data) if kind == "tar" else data
    chance = random.Random(6)
    refused = 0
    for _ in range(250):
        changed = bytearray(plain)
        for _ in range(chance.choice((1, 2, 5))):
            changed[chance.randrange(len(changed))] = chance.choice(
                (0, 0xFF, chance.randrange(256))
            )
        path.write_bytes(gzip.compress(bytes(changed), 1) if kind == "tar" else bytes(changed))
        try:
            with Archive.open(path, limits=LIMITS) as archive:
                archive.extract(tmp_path / "out")
                _ = archive.manifest
        except ArchiveError:
            refused += 1
        left = set(os.listdir(tmp_path)) - {"archive"}
        assert left <= {"out"}
        if left:
            for file in sorted((tmp_path / "out").rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            (tmp_path / "out").rmdir()
    assert refused > 50
