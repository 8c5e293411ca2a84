from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import threading
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archiver import Archive, Limits, pack
from mms.errors import (
    BadRequest,
    ConfigurationError,
    InternalServerError,
    InvalidModel,
    ModelNotFound,
    ServerError,
    ServiceUnavailable,
)
from mms.repository import Repository
from mms.repository.download import Cancellation
from mms.repository.sources import Sources

DEADLINE_S = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model store with one model as a folder, a .mar and a .tar.gz."""
    store = tmp_path / "store"
    source = tmp_path / "source"
    for folder in (store, source):
        folder.mkdir()
    (source / "service.py").write_text("def handle(data, context): return data\n")
    for archive_format in ("default", "tgz", "no-archive"):
        pack(
            source,
            model_name="m",
            handler="service:handle",
            export_path=store,
            archive_format=archive_format,  # type: ignore[arg-type]
        )
    return store


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
async def repository(store: Path, cache: Path) -> AsyncIterator[Repository]:
    repository = Repository(store, cache)
    yield repository
    await repository.close()


def left_in(cache: Path) -> list[str]:
    return os.listdir(cache) if cache.exists() else []


async def test_a_folder_of_the_store_is_used_in_place(
    repository: Repository, store: Path, cache: Path
) -> None:
    fetched = await repository.fetch("m")
    assert fetched.folder == store / "m"
    assert fetched.is_in_place
    assert fetched.sha256 is None
    assert fetched.manifest is not None
    assert fetched.manifest.model_name == "m"
    await repository.release(fetched)
    assert (store / "m" / "service.py").exists()
    assert left_in(cache) == []


@pytest.mark.parametrize("name", ["m.mar", "m.tar.gz"])
async def test_a_file_of_the_store_is_unpacked_to_a_folder_of_its_own(
    repository: Repository, cache: Path, name: str
) -> None:
    fetched = await repository.fetch(name)
    assert not fetched.is_in_place
    assert fetched.folder.parent == cache
    assert (fetched.folder / "service.py").is_file()
    assert (fetched.folder / "MAR-INF" / "MANIFEST.json").is_file()
    assert fetched.sha256 is not None
    assert len(fetched.sha256) == 64
    assert left_in(cache) == [fetched.folder.name]


async def test_two_models_of_one_archive_share_no_folder(
    repository: Repository, cache: Path
) -> None:
    first = await repository.fetch("m.mar")
    second = await repository.fetch("m.mar")
    assert first.folder != second.folder
    await repository.release(first)
    assert not first.folder.exists()
    assert (second.folder / "service.py").is_file()
    assert left_in(cache) == [second.folder.name]


async def test_releasing_twice_does_no_harm(repository: Repository, cache: Path) -> None:
    fetched = await repository.fetch("m.mar")
    await repository.release(fetched)
    await repository.release(fetched)
    assert left_in(cache) == []


async def test_an_absolute_looking_path_is_taken_below_the_store(
    repository: Repository, store: Path
) -> None:
    (store / "sub").mkdir()
    (store / "m").rename(store / "sub" / "m")
    assert (await repository.fetch("/sub/m")).folder == store / "sub" / "m"
    assert (await repository.fetch("sub//./m/")).folder == store / "sub" / "m"


async def test_an_absolute_path_of_what_is_in_the_store_is_found_too(
    repository: Repository, store: Path, tmp_path: Path
) -> None:
    assert (await repository.fetch(str(store / "m"))).folder == store / "m"
    (tmp_path / "outside").mkdir()
    for outside in (tmp_path / "outside", store, Path("/etc")):
        with pytest.raises(ModelNotFound):
            await repository.fetch(str(outside))


@pytest.mark.parametrize("url", ["../fake.mar", "a/../m", "..", "/../m", "..\\fake.mar"])
async def test_a_relative_path_is_refused(repository: Repository, url: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await repository.fetch(url)
    assert caught.value.message == f"Relative path is not allowed in url: {url}"


async def test_two_dots_anywhere_are_refused_as_mms_refuses_them(
    repository: Repository, store: Path
) -> None:
    (store / "m").rename(store / "m..v2")
    with pytest.raises(ModelNotFound) as caught:
        await repository.fetch("m..v2")
    assert caught.value.message == "Relative path is not allowed in url: m..v2"


@pytest.mark.parametrize(
    "url", ["InvalidUrl", "", "/", ".", "m.mar/service.py", "nul\0", "x" * 5000]
)
async def test_what_is_not_in_the_store_is_not_found(repository: Repository, url: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await repository.fetch(url)
    assert caught.value.message == f"Model not found in model store: {url}"
    assert caught.value.http_status == 404
    assert caught.value.type_name == "ModelNotFoundException"


async def test_an_archive_of_the_store_with_nearly_that_name_is_told(
    repository: Repository,
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await repository.fetch("m.marr")
    assert caught.value.message == "Model not found in model store: m.marr; did you mean m.mar?"


async def test_a_url_of_a_scheme_that_is_not_supported_is_told_which_are(
    repository: Repository,
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await repository.fetch("FTP://host/m.mar")
    assert caught.value.message == (
        "Model not found in model store: FTP://host/m.mar (FTP:// is not supported; urls begin with http://, "
        "https://, s3://, gs:// or file://)"
    )


async def test_without_a_store_local_models_are_refused(cache: Path) -> None:
    repository = Repository(None, cache)
    with pytest.raises(ModelNotFound, match=r"^Model store has not been configured\.$"):
        await repository.fetch("m")
    with pytest.raises(ModelNotFound, match=r"^Relative path is not allowed in url: \.\./m$"):
        await repository.fetch("../m")
    await repository.close()


async def test_a_file_url_may_name_what_lies_in_the_store(
    repository: Repository, store: Path
) -> None:
    assert (await repository.fetch(f"file://{store}/m")).folder == store / "m"
    assert (await repository.fetch(f"FILE://localhost{store}/m")).folder == store / "m"
    (store / "m").rename(store / "my model")
    assert (await repository.fetch(f"file://{store}/my%20model")).folder == store / "my model"


@pytest.mark.parametrize("path", ["/etc", "{store}/%2e%2e/source", "{store}", "{store}-other/m"])
async def test_a_file_url_that_leads_out_of_the_store_is_not_found(
    repository: Repository, store: Path, path: str
) -> None:
    url = f"file://{path.format(store=store)}"
    with pytest.raises(ModelNotFound) as caught:
        await repository.fetch(url)
    assert caught.value.message == f"Model not found in model store: {url}"


async def test_a_file_url_on_another_host_is_not_found(repository: Repository, store: Path) -> None:
    with pytest.raises(ModelNotFound, match="not found in model store"):
        await repository.fetch(f"file://elsewhere{store}/m")


async def test_urls_that_are_not_allowed_are_refused_before_anything_is_opened(
    store: Path, cache: Path
) -> None:
    repository = Repository(
        store, cache, sources=Sources.of([r"https://models\.example\.org/\w+\.mar"])
    )
    for url in (
        f"file://{store}/m",
        "http://127.0.0.1:9/m.mar",
        "https://modelsXexample.org/m.mar",
        "https://models.example.org/m.mar/../../evil",
    ):
        with pytest.raises(BadRequest) as caught:
            await repository.fetch(url)
        assert caught.value.message == f"Given URL {url} does not match any allowed URL(s)"
    assert (await repository.fetch("m")).is_in_place
    await repository.close()


def test_an_allowed_url_that_is_no_expression_is_a_configuration_error(cache: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed_urls: 'https://\('"):
        Sources.of(["https://("])


async def test_a_model_may_have_no_manifest(repository: Repository, store: Path) -> None:
    (store / "plain").mkdir()
    fetched = await repository.fetch("plain")
    assert fetched.manifest is None


async def test_a_legacy_folder_whose_manifest_lies_one_level_down_is_served_from_there(
    repository: Repository, store: Path
) -> None:
    inner = store / "old" / "inner"
    inner.mkdir(parents=True)
    (inner / "MANIFEST.json").write_text(
        json.dumps({"Model": {"Model-Name": "old", "Service": "service.py"}})
    )
    fetched = await repository.fetch("old")
    assert fetched.folder == inner
    assert fetched.manifest is not None
    assert fetched.manifest.is_legacy


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", "Failed to parse signature.json."),
        ('{"model": null}', "Missing Model entry in manifest file."),
    ],
)
async def test_a_bad_manifest_gets_the_message_of_mms_and_leaves_nothing(
    repository: Repository, store: Path, cache: Path, manifest: str, message: str
) -> None:
    with zipfile.ZipFile(store / "bad.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", manifest)
    with pytest.raises(InvalidModel) as caught:
        await repository.fetch("bad.mar")
    assert caught.value.message == message
    assert caught.value.type_name == "InvalidModelException"
    assert left_in(cache) == []
    assert repository.statistics() == {"fetched": 0, "failed": 1, "running": 0}


async def test_a_file_that_is_no_archive_is_named(
    repository: Repository, store: Path, cache: Path
) -> None:
    (store / "notes.mar").write_text("not an archive")
    with pytest.raises(InvalidModel, match=r"notes\.mar is not a model archive"):
        await repository.fetch("notes.mar")
    assert left_in(cache) == []


async def test_an_entry_that_leaves_the_archive_is_refused_and_nothing_is_written(
    repository: Repository, store: Path, cache: Path
) -> None:
    with zipfile.ZipFile(store / "evil.mar", "w") as archive:
        archive.writestr("service.py", "")
        archive.writestr("../evil", "")
    with pytest.raises(InvalidModel, match=r"'\.\./evil'"):
        await repository.fetch("evil.mar")
    assert left_in(cache) == []
    assert not (cache.parent / "evil").exists()


async def test_the_limits_hold(store: Path, cache: Path) -> None:
    repository = Repository(store, cache, limits=Limits(max_entries=1))
    with pytest.raises(InvalidModel, match="more than 1 entries"):
        await repository.fetch("m.mar")
    await repository.close()
    assert left_in(cache) == []


async def test_a_cache_that_cannot_be_written_is_a_failure_to_save(
    store: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    repository = Repository(store, tmp_path / "file" / "cache")
    with pytest.raises(InternalServerError) as caught:
        await repository.fetch("m.mar")
    assert caught.value.message == "Failed to save model: m.mar"
    await repository.close()


class HeldExtraction:
    """Holds extraction back until it is let go, and tells when it is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_there = threading.Event()
        self.may_go = threading.Event()
        original = Archive.extract

        def extract(archive: Archive, *args: Any, **kwargs: Any) -> Path:
            self.is_there.set()
            assert self.may_go.wait(DEADLINE_S)
            return original(archive, *args, **kwargs)

        monkeypatch.setattr(Archive, "extract", extract)


async def test_a_cancelled_fetch_leaves_nothing(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldExtraction(monkeypatch)
    task = asyncio.create_task(repository.fetch("m.mar"))
    assert await asyncio.to_thread(held.is_there.wait, DEADLINE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.may_go.set()
    await repository.close()
    assert left_in(cache) == []


async def test_a_fetch_that_was_done_when_it_was_cancelled_leaves_nothing(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the last look at the cancellation had come before it was made.
    monkeypatch.setattr(Cancellation, "raise_if_set", lambda self: None)
    held = HeldExtraction(monkeypatch)
    task = asyncio.create_task(repository.fetch("m.mar"))
    assert await asyncio.to_thread(held.is_there.wait, DEADLINE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.may_go.set()
    await repository.close()
    assert left_in(cache) == []


async def test_closing_ends_a_running_fetch_with_an_answer(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: complaints.append(context)
    )
    held = HeldExtraction(monkeypatch)
    task = asyncio.create_task(repository.fetch("m.mar"))
    assert await asyncio.to_thread(held.is_there.wait, DEADLINE_S)
    closing = asyncio.create_task(repository.close())
    await asyncio.sleep(0)  # lets the closing mark the fetch as not wanted
    held.may_go.set()
    await closing
    with pytest.raises(ServiceUnavailable):
        await task
    assert left_in(cache) == []
    gc.collect()  # the loop complains of an error nobody looked at when its future goes
    assert complaints == []


async def test_fetching_does_not_hold_up_the_loop(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldExtraction(monkeypatch)
    slow = asyncio.create_task(repository.fetch("m.mar"))
    assert await asyncio.to_thread(held.is_there.wait, DEADLINE_S)
    assert (await asyncio.wait_for(repository.fetch("m"), DEADLINE_S)).is_in_place
    assert repository.statistics()["running"] == 1
    held.may_go.set()
    await slow


def test_all_is_every_folder_and_archive_that_is_not_hidden(store: Path, cache: Path) -> None:
    (store / "old.model").write_text("")
    (store / "notes.txt").write_text("")
    (store / ".hidden").mkdir()
    (store / ".hidden.mar").write_text("")
    (store / "another").mkdir()
    (store / "loop.mar").symlink_to("loop.mar")
    assert Repository(store, cache).list_store() == ["another", "m", "m.mar", "old.model"]


def test_all_without_a_store_says_so(store: Path, cache: Path) -> None:
    with pytest.raises(ServerError, match=r"^Model store is not configured\.$"):
        Repository(None, cache).list_store()
    missing = store / "none"
    with pytest.raises(ServerError) as caught:
        Repository(missing, cache).list_store()
    assert caught.value.message == f"Model store path is not found: {missing}"


async def test_a_folder_that_is_not_the_repositorys_is_never_removed(
    repository: Repository, store: Path
) -> None:
    fetched = await repository.fetch("m")
    with pytest.raises(ValueError, match="is not a folder of the cache"):
        await repository.release(replace(fetched, is_in_place=False))
    assert (store / "m" / "service.py").exists()


async def test_a_closed_repository_fetches_no_more_but_still_takes_back(
    repository: Repository, cache: Path
) -> None:
    fetched = await repository.fetch("m.mar")
    await repository.close()
    with pytest.raises(ServiceUnavailable):
        await repository.fetch("m.mar")
    await repository.release(fetched)
    assert left_in(cache) == []


async def test_a_document_that_cannot_be_copied_leaves_no_folder_behind(
    repository: Repository, store: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "graph.yaml").write_text("name: g\n")

    def fail(*paths: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mms.repository.repository.shutil.copyfile", fail)
    with pytest.raises(InternalServerError, match="Failed to save model"):
        await repository.fetch("graph.yaml")
    assert left_in(cache) == []


class TestSharing:
    """Of a repository whose folders no worker can write to."""

    @pytest.fixture
    async def repository(self, store: Path, cache: Path) -> AsyncIterator[Repository]:
        repository = Repository(store, cache, shares=True)
        yield repository
        await repository.close()

    async def test_equal_bytes_have_one_folder_under_any_name_until_the_last_model_goes(
        self, repository: Repository, store: Path, cache: Path
    ) -> None:
        (store / "other.mar").write_bytes((store / "m.mar").read_bytes())
        fetched = [await repository.fetch(name) for name in ("m.mar", "other.mar", "m.mar")]
        assert len({each.folder for each in fetched}) == 1
        await repository.release(fetched[0])
        await repository.release(fetched[0])
        await repository.release(fetched[1])
        assert (fetched[2].folder / "service.py").is_file()
        await repository.release(fetched[2])
        assert left_in(cache) == []

    async def test_fetches_at_one_time_unpack_once(
        self, repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = HeldExtraction(monkeypatch)
        tasks = [asyncio.create_task(repository.fetch("m.mar")) for _ in range(3)]
        assert await asyncio.to_thread(held.is_there.wait, DEADLINE_S)
        held.may_go.set()
        fetched = await asyncio.gather(*tasks)
        assert left_in(cache) == [fetched[0].folder.name]

    async def test_a_folder_that_cannot_be_closed_to_others_is_not_left_behind(
        self, repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(folder: Path) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        with monkeypatch.context() as patched:
            patched.setattr("mms.repository.repository.close_to_others", fail)
            with pytest.raises(InternalServerError, match="Failed to save model"):
                await repository.fetch("m.mar")
        assert left_in(cache) == []
        fetched = await repository.fetch("m.mar")
        assert left_in(cache) == [fetched.folder.name]

    async def test_what_has_changed_has_a_folder_of_its_own(
        self, repository: Repository, store: Path, tmp_path: Path
    ) -> None:
        first = await repository.fetch("m.mar")
        (tmp_path / "source" / "service.py").write_text("def handle(data, context): return []\n")
        pack(
            tmp_path / "source",
            model_name="m",
            handler="service:handle",
            export_path=store,
            force=True,
        )
        assert (await repository.fetch("m.mar")).folder != first.folder

    async def test_a_cancelled_fetch_leaves_the_folder_to_the_others(
        self, repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Cancellation, "raise_if_set", lambda self: None)
        held = HeldExtraction(monkeypatch)
        cancelled = asyncio.create_task(repository.fetch("m.mar"))
        assert await asyncio.to_thread(held.is_there.wait, DEADLINE_S)
        other = asyncio.create_task(repository.fetch("m.mar"))
        cancelled.cancel()
        held.may_go.set()
        fetched = await other
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (fetched.folder / "service.py").is_file()
        await repository.release(fetched)
        await repository.close()
        assert left_in(cache) == []

    async def test_an_archive_that_cannot_be_unpacked_is_tried_anew(
        self, repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise OSError("no space left")

        with monkeypatch.context() as broken:
            broken.setattr(Archive, "extract", fail)
            with pytest.raises(InternalServerError):
                await repository.fetch("m.mar")
        fetched = await repository.fetch("m.mar")
        assert (fetched.folder / "service.py").is_file()

    async def test_nobody_but_the_server_can_write_to_it(
        self, repository: Repository, cache: Path
    ) -> None:
        mask = os.umask(0)
        try:
            fetched = await repository.fetch("m.mar")
        finally:
            os.umask(mask)
        found = [fetched.folder, *fetched.folder.rglob("*")]
        assert [path for path in found if path.stat().st_mode & 0o022] == []
