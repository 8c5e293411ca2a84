"""Archives that lie in object stores, by `s3://` and `gs://` urls; the copying process is played."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiver import pack
from mms.errors import BadRequest, DownloadFailed, InvalidModel
from mms.repository import Repository, repository
from mms.repository.sources import Sources

Copy = Callable[..., str]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are the objects of every bucket."""
    folder = tmp_path / "bucket"
    folder.mkdir()

    def copy(uri: str, target: Path, *_: Any) -> str:
        source = folder / uri.partition("://")[2].partition("/")[2]
        if not source.exists():
            raise DownloadFailed(f"Failed to fetch {uri}: there is nothing of that name")
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.mkdir()
            shutil.copyfile(source, target / source.name)
        return "fingerprint"

    monkeypatch.setattr(repository, "copy_remote", copy)
    return folder


def write_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "service.py").write_text("def handle(data, context):\n    return data\n")
    return folder


def opened(tmp_path: Path, allowed: list[str] | None = None) -> Repository:
    return Repository(None, tmp_path / "cache", sources=Sources.of(allowed))


@pytest.mark.parametrize("scheme", ["s3", "gs", "S3"])
async def test_an_archive_in_an_object_store_is_fetched_and_unpacked(
    tmp_path: Path, bucket: Path, scheme: str
) -> None:
    source = write_model(tmp_path / "m")
    pack(source, model_name="m", handler="service:handle", export_path=bucket)
    found = opened(tmp_path)
    archive = await found.fetch(f"{scheme}://models/m.mar")
    assert archive.manifest is not None
    assert archive.manifest.model_name == "m"
    assert (archive.folder / "service.py").is_file()
    assert archive.sha256 is not None
    with pytest.raises(InvalidModel, match="has the SHA-256"):
        await found.fetch(f"{scheme}://models/m.mar", sha256="0" * 64)
    await found.release(archive)
    assert list((tmp_path / "cache").iterdir()) == []


async def test_objects_below_a_key_are_a_folder(tmp_path: Path, bucket: Path) -> None:
    write_model(bucket / "m")
    found = opened(tmp_path)
    archive = await found.fetch("s3://models/m")
    assert (archive.folder / "service.py").is_file()
    assert not archive.is_in_place
    with pytest.raises(BadRequest, match="is a folder, which has no SHA-256"):
        await found.fetch("s3://models/m", sha256="0" * 64)
    await found.release(archive)
    assert list((tmp_path / "cache").iterdir()) == []


async def test_an_object_that_is_not_there_leaves_nothing(tmp_path: Path, bucket: Path) -> None:
    with pytest.raises(DownloadFailed, match="there is nothing of that name"):
        await opened(tmp_path).fetch("s3://models/absent.mar")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://theirs/m.mar", "does not match any allowed URL"),
        ("s3://mine", "s3://bucket/key is right"),
        ("gs:///m.mar", "gs://bucket/key is right"),
        ("s3://mine/m.mar::http://169.254.169.254/", "contains ::"),
    ],
)
async def test_a_url_that_is_none_or_not_allowed_starts_nothing(
    tmp_path: Path, bucket: Path, url: str, reason: str
) -> None:
    with pytest.raises(BadRequest, match=reason):
        await opened(tmp_path, ["s3://mine/.*"]).fetch(url)
    assert not (tmp_path / "cache").exists()


async def test_a_missing_extra_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"needs the package .*pip install"):
        await opened(tmp_path).fetch("s3://models/m.mar")
