"""Fetching what a model_uri names."""

from __future__ import annotations

import asyncio
import io
import logging
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.waiting import until

from archiver import DEFAULT_LIMITS
from mms.errors import BadRequest, DownloadFailed, InvalidModel, ModelNotFound
from mms.repository import ModelUris
from mms.repository.download import DownloadLimits
from mms.repository.sources import Sources

Make = Callable[..., ModelUris]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[ModelUris] = []

    def new(
        allowed: list[str] | None = None, *, is_lasting: bool = False, **limits: Any
    ) -> ModelUris:
        (tmp_path / "store").mkdir(exist_ok=True)
        uris = ModelUris(
            tmp_path / "cache",
            tmp_path / "store",
            Sources.of(allowed),
            is_lasting=is_lasting,
            limits=DEFAULT_LIMITS,
            download_limits=DownloadLimits(progress_interval_s=0, **limits),
        )
        made.append(uris)
        return uris

    yield new
    for uris in made:
        await uris.close()


@pytest.fixture
def uris(make: Make) -> ModelUris:
    return make()


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return buffer.getvalue()


def contents(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "content").iterdir())


def unfinished(tmp_path: Path) -> list[Path]:
    """What lies in the folders for it."""
    return list((tmp_path / "cache").glob(".*/*"))


# Local


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
async def test_a_local_path_is_used_where_it_is(uris: ModelUris, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "with blank"
    folder.mkdir()
    named = str(folder) if form == "{}" else str(folder).replace(" ", "%20")
    files = await uris.fetch(form.format(named), None)
    assert files.path == folder
    await uris.release(files)
    assert folder.is_dir()


async def test_a_relative_path_is_the_archives_else_the_model_stores(
    uris: ModelUris, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    (archive / "weights").mkdir(parents=True)
    (tmp_path / "store" / "shared").mkdir()
    assert (await uris.fetch("weights", archive)).path == archive / "weights"
    assert (await uris.fetch("shared", archive)).path == tmp_path / "store" / "shared"
    with pytest.raises(ModelNotFound, match="nor has the model store"):
        await uris.fetch("absent", archive)


@pytest.mark.parametrize("uri", ["../x", "/tmp/../etc", "file:///a/%2e%2e/b", "file://host/x"])
async def test_a_path_that_leads_elsewhere_is_refused(uris: ModelUris, uri: str) -> None:
    with pytest.raises(BadRequest, match="model_uri"):
        await uris.fetch(uri, None)


async def test_paths_outside_archive_and_store_need_to_be_allowed(
    make: Make, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "archive" / "w", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
    uris = make([f"file://{outside}/allowed.*"])
    assert (await uris.fetch(str(inside), inside.parent)).path == inside
    with pytest.raises(BadRequest, match="does not match any allowed URL"):
        await uris.fetch(str(outside), inside.parent)
    (outside / "allowed").mkdir()
    assert (await uris.fetch(str(outside / "allowed"), None)).path == outside / "allowed"


# Over http


async def test_a_file_is_fetched_into_a_folder_under_its_own_name(
    uris: ModelUris, origin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = await uris.fetch(origin.serve("a/model.joblib", b"weights"), None)
    assert [(p.name, p.read_bytes()) for p in files.path.iterdir()] == [
        ("model.joblib", b"weights")
    ]
    assert "Downloading" in caplog.text
    assert "7 bytes" in caplog.text


async def test_an_archive_is_unpacked(uris: ModelUris, origin: Any) -> None:
    body = zipped(**{"saved__model.txt": "m", "labels.txt": "l"})
    files = await uris.fetch(origin.serve("iris.zip", body), None)
    assert (files.path / "saved" / "model.txt").read_text() == "m"
    assert (files.path / "labels.txt").read_text() == "l"


async def test_a_zip_file_of_another_name_stays_one(uris: ModelUris, origin: Any) -> None:
    body = zipped(**{"data.pkl": "x"})
    files = await uris.fetch(origin.serve("model.pt", body), None)
    assert (files.path / "model.pt").read_bytes() == body


async def test_an_archive_that_leads_out_of_its_folder_is_refused(
    uris: ModelUris, origin: Any, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../escaped"), io.BytesIO())
    with pytest.raises(InvalidModel, match="escaped"):
        await uris.fetch(origin.serve("bad.tar.gz", buffer.getvalue()), None)
    assert contents(tmp_path) == []
    assert unfinished(tmp_path) == []


async def test_registrations_at_one_time_fetch_once(uris: ModelUris, origin: Any) -> None:
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(body=b"weights")

    origin.handlers["m.bin"] = slow
    url = origin.url("m.bin")
    fetches = [asyncio.create_task(uris.fetch(url, None)) for _ in range(5)]
    await until(lambda: origin.requests)
    release.set()
    found = await asyncio.gather(*fetches)
    assert len(origin.requests) == 1
    assert len({files.path for files in found}) == 1


async def test_two_uris_with_the_same_files_share_one_folder(
    uris: ModelUris, origin: Any, tmp_path: Path
) -> None:
    first = await uris.fetch(origin.serve("a/m.bin", b"same"), None)
    second = await uris.fetch(origin.serve("b/m.bin", b"same"), None)
    assert first.path == second.path
    assert contents(tmp_path) == [first.content]


async def test_files_go_with_the_last_model_that_uses_them(
    uris: ModelUris, origin: Any, tmp_path: Path
) -> None:
    url = origin.serve("m.bin", b"weights")
    first, second = await uris.fetch(url, None), await uris.fetch(url, None)
    await uris.release(first)
    assert second.path.is_dir()
    await uris.release(second)
    assert contents(tmp_path) == []
    again = await uris.fetch(url, None)
    assert again.path.is_dir()


async def test_a_lasting_cache_asks_the_origin_and_fetches_what_has_changed_alone(
    make: Make, origin: Any, tmp_path: Path
) -> None:
    version = "1"

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == f'"{version}"':
            return web.Response(status=304)
        return web.Response(body=version.encode(), headers={"ETag": f'"{version}"'})

    origin.handlers["m.bin"] = answer
    url = origin.url("m.bin")
    before = make(is_lasting=True)
    files = await before.fetch(url, None)
    await before.release(files)
    await before.close()

    uris = make(is_lasting=True)
    same = await uris.fetch(url, None)
    assert same.path == files.path
    assert origin.requests[-1].headers["If-None-Match"] == '"1"'
    version = "2"
    changed = await uris.fetch(url, None)
    assert (changed.path / "m.bin").read_text() == "2"
    assert (files.path / "m.bin").read_text() == "1"


async def test_a_caller_who_gives_up_leaves_the_others_their_fetch(
    uris: ModelUris, origin: Any
) -> None:
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(body=b"weights")

    origin.handlers["m.bin"] = slow
    first = asyncio.create_task(uris.fetch(origin.url("m.bin"), None))
    second = asyncio.create_task(uris.fetch(origin.url("m.bin"), None))
    await until(lambda: origin.requests)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    release.set()
    assert (await second).path.is_dir()


async def test_a_fetch_that_nobody_waits_for_any_more_ends_and_leaves_nothing(
    uris: ModelUris, origin: Any, tmp_path: Path
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    origin.handlers["m.bin"] = endless
    fetch = asyncio.create_task(uris.fetch(origin.url("m.bin"), None))
    await until(lambda: origin.requests)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    await asyncio.wait_for(uris.close(), 10)
    assert unfinished(tmp_path) == []


async def test_a_url_that_is_not_allowed_is_not_asked_for(make: Make, origin: Any) -> None:
    uris = make(["https://models.example/.*"])
    with pytest.raises(BadRequest, match="does not match any allowed URL"):
        await uris.fetch(origin.serve("m.bin", b"x"), None)
    assert origin.requests == []


async def test_what_the_origin_does_not_have_is_told_with_its_status(
    uris: ModelUris, origin: Any
) -> None:
    with pytest.raises(DownloadFailed, match="code: 404"):
        await uris.fetch(origin.url("absent"), None)
