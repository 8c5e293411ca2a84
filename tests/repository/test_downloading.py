from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from model_origin import Origin
from support.waiting import until

from archiver import pack
from mms.errors import (
    BadRequest,
    DownloadFailed,
    InternalServerError,
    InvalidModel,
    ModelNotFound,
)
from mms.repository import Repository
from mms.repository.download import DownloadLimits, FetchProgress
from mms.repository.sources import Sources

DEADLINE_S = 20.0


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    source = tmp_path / "source"
    source.mkdir()
    (source / "service.py").write_text("def handle(data, context): return data\n")
    path = pack(source, model_name="m", handler="service:handle", export_path=tmp_path)
    return path.read_bytes()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@contextlib.asynccontextmanager
async def opened(
    cache: Path, allowed_urls: list[str] | None = None, limits: DownloadLimits | None = None
) -> AsyncIterator[Repository]:
    repository = Repository(None, cache, sources=Sources.of(allowed_urls), download_limits=limits)
    try:
        yield repository
    finally:
        await repository.close()
    assert repository.statistics()["running"] == 0


def left_in(cache: Path) -> list[str]:
    return os.listdir(cache) if cache.exists() else []


async def refused(cache: Path, url: str, limits: DownloadLimits | None = None) -> str | None:
    """The message of a download that fails, after a look that nothing stays on the disk."""
    async with opened(cache, limits=limits) as repository:
        with pytest.raises(DownloadFailed) as caught:
            await asyncio.wait_for(repository.fetch(url), DEADLINE_S)
    assert left_in(cache) == []
    assert caught.value.http_status == 400
    assert caught.value.type_name == "DownloadModelException"
    return caught.value.message


async def test_an_archive_is_downloaded_and_unpacked(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    url = origin.serve("models/m.mar", archive)
    async with opened(cache) as repository:
        fetched = await repository.fetch(url)
        assert not fetched.is_in_place
        assert fetched.manifest is not None
        assert fetched.manifest.model_name == "m"
        assert fetched.sha256 == hashlib.sha256(archive).hexdigest()
        assert (fetched.folder / "service.py").is_file()
        assert left_in(cache) == [fetched.folder.name]
        await repository.release(fetched)
        assert left_in(cache) == []


async def test_the_scheme_may_be_written_in_capitals(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    url = origin.serve("m.mar", archive).replace("http", "HTTP")
    async with opened(cache) as repository:
        assert (await repository.fetch(url)).folder.is_dir()


async def test_a_signed_url_goes_out_as_it_was_given(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    origin.serve("m.mar", archive)
    tail = "m.mar?X-Amz-Credential=A%2F2024%2Fs3&sig=a%2Bb%3D&t=1:2"
    async with opened(cache) as repository:
        await repository.fetch(origin.url(tail))
    assert origin.requests[0].raw_path == f"/{tail}"


async def test_two_downloads_of_one_url_share_no_folder(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    url = origin.serve("m.mar", archive, headers={"ETag": '"../same"'})
    async with opened(cache) as repository:
        first, second = await asyncio.gather(repository.fetch(url), repository.fetch(url))
        assert first.folder != second.folder
        await repository.release(first)
        assert (second.folder / "service.py").is_file()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_scheme_is_followed(
    origin: Origin, archive: bytes, cache: Path, status: int
) -> None:
    origin.serve("real/m.mar", archive)
    origin.redirect("second", origin.url("real/m.mar"), status)
    url = origin.redirect("first", "/second", status)
    async with opened(cache) as repository:
        assert (await repository.fetch(url)).manifest is not None


async def test_a_redirect_to_another_scheme_is_not_followed(origin: Origin, cache: Path) -> None:
    url = origin.redirect("m.mar", f"https://127.0.0.1:{origin.port}/m.mar")
    message = await refused(cache, url)
    assert message == f"Failed to download model from: {url}, code: 302"
    assert len(origin.requests) == 1


async def test_a_redirect_in_a_circle_ends(origin: Origin, cache: Path) -> None:
    url = origin.redirect("m.mar", "/m.mar")
    message = await refused(cache, url)
    assert message == f"Failed to download model from: {url}, more than 20 redirects"
    assert len(origin.requests) == 21


async def test_a_redirect_must_be_allowed_too(origin: Origin, archive: bytes, cache: Path) -> None:
    target = origin.serve("secret/m.mar", archive)
    url = origin.redirect("public/m.mar", target)
    async with opened(cache, allowed_urls=[r"http://127\.0\.0\.1:\d+/public/.*"]) as repository:
        with pytest.raises(BadRequest) as caught:
            await repository.fetch(url)
    assert caught.value.message == f"Given URL {target} does not match any allowed URL(s)"
    assert [request.path for request in origin.requests] == ["/public/m.mar"]
    assert left_in(cache) == []


async def test_a_status_other_than_200_is_named(origin: Origin, cache: Path) -> None:
    url = origin.url("none.mar")
    assert await refused(cache, url) == f"Failed to download model from: {url}, code: 404"
    url = origin.serve("partial.mar", b"x", status=206)
    assert await refused(cache, url) == f"Failed to download model from: {url}, code: 206"


async def test_a_port_where_nobody_listens_is_a_failure(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/fake.mar"
        message = await refused(cache, url)
        assert message is not None
        assert message == f"Failed to download model from: {url}, Connection refused"


async def test_a_host_that_cannot_be_is_a_failure(cache: Path) -> None:
    url = "http://no such host/m.mar"
    message = await refused(cache, url)
    assert message is not None
    assert message.startswith(f"Failed to download model from: {url}, ")


@pytest.mark.parametrize("url", ["http://", "http:///m.mar", "https://:80/m.mar", "HTTP://?x"])
@pytest.mark.parametrize("patterns", [None, [".*"]])
async def test_a_url_without_a_host_is_refused(
    cache: Path, url: str, patterns: list[str] | None
) -> None:
    async with opened(cache, patterns) as repository:
        with pytest.raises(BadRequest, match="has no host; http://host/path is right"):
            await repository.fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:aaaa",
        "http://127.0.0.1:99999/x",
        "http://[bad/x",
        "http://127.0.0.1/x\r\nHost: evil",
    ],
)
async def test_a_malformed_url_is_invalid(cache: Path, url: str) -> None:
    async with opened(cache) as repository:
        with pytest.raises(ModelNotFound) as caught:
            await repository.fetch(url)
    assert caught.value.message == f"Invalid model url: {url}"
    assert caught.value.http_status == 404


async def test_tls_to_a_server_without_it_is_a_failure(origin: Origin, cache: Path) -> None:
    url = origin.url("m.mar").replace("http:", "https:")
    message = await refused(cache, url)
    assert message is not None
    assert message.startswith(f"Failed to download model from: {url}, ")


async def test_an_answer_cut_short_is_a_failure_and_its_file_goes(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(archive))})
        await response.prepare(request)
        await response.write(archive[:100])
        assert request.transport is not None
        request.transport.close()
        return response

    origin.handlers["m.mar"] = cut
    url = origin.url("m.mar")
    message = await refused(cache, url)
    assert message is not None
    assert message.startswith(f"Failed to download model from: {url}, ")


@contextlib.asynccontextmanager
async def stalling(origin: Origin, path: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A path that sends a little and then nothing; with the event that tells it was asked for."""
    was_asked = asyncio.Event()
    may_end = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"PK\x03\x04")
        was_asked.set()
        await may_end.wait()
        return response

    origin.handlers[path] = stall
    try:
        yield origin.url(path), was_asked
    finally:
        may_end.set()


async def test_whoever_watches_sees_how_much_has_come(origin: Origin, cache: Path) -> None:
    watched: list[FetchProgress] = []
    async with stalling(origin, "m.mar") as (url, was_asked), opened(cache) as repository:
        fetching = asyncio.ensure_future(repository.fetch(url, watch=watched.append))
        await asyncio.wait_for(was_asked.wait(), DEADLINE_S)
        [progress] = watched
        await until(lambda: (progress.done_bytes, progress.total_bytes) == (4, 1_000_000))
        assert str(progress) == "0.0 of 1.0 MB are fetched"
        fetching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await fetching


@pytest.mark.parametrize(
    "limits", [DownloadLimits(read_timeout_s=0.2), DownloadLimits(total_timeout_s=0.3)]
)
async def test_an_origin_that_stops_sending_is_a_timeout(
    origin: Origin, cache: Path, limits: DownloadLimits
) -> None:
    async with stalling(origin, "m.mar") as (url, _):
        assert await refused(cache, url, limits) == f"Download model timeout: {url}"


async def test_a_cancelled_download_ends_at_once_and_its_file_goes(
    origin: Origin, cache: Path
) -> None:
    async with stalling(origin, "m.mar") as (url, was_asked), opened(cache) as repository:
        task = asyncio.create_task(repository.fetch(url))
        await asyncio.wait_for(was_asked.wait(), DEADLINE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not repository.statistics()["running"])
        assert left_in(cache) == []


async def test_origins_that_stop_sending_hold_up_neither_the_store_nor_the_loop(
    origin: Origin, archive: bytes, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "m.mar").write_bytes(archive)
    repository = Repository(tmp_path, cache)
    async with stalling(origin, "slow.mar") as (url, was_asked):
        slow = [asyncio.create_task(repository.fetch(url)) for _ in range(20)]
        await asyncio.wait_for(was_asked.wait(), DEADLINE_S)
        fetched = await asyncio.wait_for(repository.fetch("m.mar"), DEADLINE_S)
        await asyncio.wait_for(repository.release(fetched), DEADLINE_S)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await asyncio.wait_for(repository.close(), DEADLINE_S)
    assert left_in(cache) == []


async def test_an_archive_announced_as_too_large_is_not_waited_for(
    origin: Origin, cache: Path
) -> None:
    async with stalling(origin, "m.mar") as (url, _):
        message = await refused(cache, url, DownloadLimits(max_bytes=1000))
    assert message == f"Failed to download model from: {url}, it has more than 1000 bytes"


async def test_an_archive_that_turns_out_too_large_is_dropped(origin: Origin, cache: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65536)
        return response

    origin.handlers["m.mar"] = endless
    url = origin.url("m.mar")
    message = await refused(cache, url, DownloadLimits(max_bytes=200_000))
    assert message == f"Failed to download model from: {url}, it has more than 200000 bytes"


async def test_a_content_encoding_is_not_undone(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    body = gzip.compress(archive)
    url = origin.serve("m.mar", body, headers={"Content-Encoding": "gzip"})
    async with opened(cache) as repository:
        with pytest.raises(InvalidModel):
            await repository.fetch(url)
    assert origin.requests[0].headers["Accept-Encoding"] == "identity"


async def test_a_download_that_is_no_archive_is_named_as_the_client_knows_it(
    origin: Origin, cache: Path
) -> None:
    url = origin.serve("page.mar", b"<html>sign in</html>")
    async with opened(cache) as repository:
        with pytest.raises(InvalidModel, match=r"page\.mar is not a model archive"):
            await repository.fetch(f"{url}?token=secret")
    assert left_in(cache) == []


async def test_a_disk_that_fails_is_a_failure_to_save(
    origin: Origin, archive: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(target: Path, url: str) -> object:
        return FullDisk(target)

    monkeypatch.setattr("mms.repository.download._created", fail)
    url = origin.serve("m.mar", archive)
    async with opened(cache) as repository:
        with pytest.raises(InternalServerError) as caught:
            await repository.fetch(url)
    assert caught.value.message == f"Failed to save model: {url}"
    assert left_in(cache) == []


class FullDisk:
    """A file that can be opened and takes nothing."""

    def __init__(self, target: Path) -> None:
        self._file = target.open("xb")

    def write(self, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


async def test_a_long_download_tells_its_progress_without_secrets(
    origin: Origin, archive: bytes, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = origin.serve("m.mar", archive)
    limits = DownloadLimits(progress_interval_s=0)
    with caplog.at_level(logging.INFO, "mms.repository"):
        async with opened(cache, limits=limits) as repository:
            await repository.fetch(f"{url}?signature=secret")
    # The played origin may log what it is asked, where another test has asked for that.
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("mms.")]
    assert any(line.startswith(f"Downloading {url}: ") for line in lines)
    assert not any("secret" in line for line in lines)
