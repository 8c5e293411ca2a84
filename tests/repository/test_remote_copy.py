"""Copying from object stores, in a process of its own, with a store in memory for a real one."""

from __future__ import annotations

import asyncio
import importlib
import os
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from archiver import DEFAULT_LIMITS
from mms.errors import BadRequest, DownloadFailed
from mms.repository import ModelUris, remote
from mms.repository.download import Cancellation, DownloadLimits, NotModified
from mms.repository.remote_copy import CopyFailed, copy
from mms.repository.sources import Sources

fsspec = pytest.importorskip("fsspec", reason="the extra s3 is not installed")

LIMIT = 1 << 20


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    """fsspec's store in memory, under the scheme s3."""
    from fsspec.implementations.memory import MemoryFileSystem

    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = "s3"
        store: dict[str, Any] = {}
        pseudo_dirs = [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return MemoryFileSystem._strip_protocol(path.removeprefix("s3://"))

    # The package has a member of the module's name.
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.setitem(known, "s3", Store)
    return Store()


def run(uri: str, target: Path, known: str = "", max_bytes: int = LIMIT) -> Any:
    reports: list[Any] = []
    return copy(uri, target, max_bytes, known, reports.append), reports


def test_all_objects_below_a_key_are_copied(store: Any, tmp_path: Path) -> None:
    store.pipe({"/b/iris/model.joblib": b"m", "/b/iris/deep/x": b"y", "/b/iris2/z": b"z"})
    _, reports = run("s3://b/iris", tmp_path / "t")
    found = {p.relative_to(tmp_path / "t").as_posix() for p in (tmp_path / "t").rglob("*.*")}
    assert found == {"model.joblib"}
    assert (tmp_path / "t" / "deep" / "x").read_bytes() == b"y"
    assert not (tmp_path / "t" / "z").exists()
    assert reports[-1] == {"done_bytes": 2, "total_bytes": 2}


def test_one_object_is_copied_under_its_name(store: Any, tmp_path: Path) -> None:
    store.pipe({"/b/iris/model.joblib": b"m"})
    run("s3://b/iris/model.joblib", tmp_path / "t")
    assert [p.name for p in (tmp_path / "t").iterdir()] == ["model.joblib"]


def test_what_is_known_is_not_copied_again_and_what_has_changed_is(
    store: Any, tmp_path: Path
) -> None:
    store.pipe({"/b/m": b"1"})
    fingerprint, _ = run("s3://b/m", tmp_path / "t1")
    assert fingerprint
    assert run("s3://b/m", tmp_path / "t2", fingerprint)[0] is None
    assert not (tmp_path / "t2").exists()
    store.pipe({"/b/m": b"12"})
    assert run("s3://b/m", tmp_path / "t3", fingerprint)[0] not in (None, fingerprint)


def test_a_key_that_is_not_there_is_told(store: Any, tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="there is nothing of that name"):
        run("s3://b/absent", tmp_path / "t")


def test_more_than_is_allowed_is_refused_before_it_is_copied(store: Any, tmp_path: Path) -> None:
    store.pipe({"/b/m": b"12345"})
    with pytest.raises(CopyFailed, match="5 bytes, more than the 4"):
        run("s3://b/m", tmp_path / "t", max_bytes=4)
    assert not (tmp_path / "t").exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(store: Any, tmp_path: Path) -> None:
    store.pipe({"/b/m/ok": b"1"})
    store.store["/b/m/../../escaped"] = store.store["/b/m/ok"]
    with pytest.raises(CopyFailed, match=r"\.\."):
        run("s3://b/m", tmp_path / "t")


# The process


def uris(tmp_path: Path, allowed: list[str] | None = None) -> ModelUris:
    return ModelUris(
        tmp_path / "cache",
        None,
        Sources.of(allowed),
        is_lasting=False,
        limits=DEFAULT_LIMITS,
        download_limits=DownloadLimits(),
    )


async def test_a_uri_that_is_not_allowed_starts_no_process(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="does not match any allowed URL"):
        await uris(tmp_path, ["s3://mine/.*"]).fetch("s3://theirs/m", None)


@pytest.mark.parametrize(
    ("uri", "package", "extra"),
    [
        ("s3://b/m", "s3fs", "s3"),
        ("gs://b/m", "gcsfs", "gs"),
        ("models:/iris/3", "mlflow", "mlflow"),
    ],
)
async def test_a_missing_extra_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, package: str, extra: str
) -> None:
    hide = f"import sys; sys.modules.update(dict.fromkeys(['{package}'])); "
    monkeypatch.setattr(remote, "_PROGRAM", hide + remote._PROGRAM)
    with pytest.raises(DownloadFailed) as caught:
        await uris(tmp_path).fetch(uri, None)
    assert f"needs the package {package}" in str(caught.value.message)
    assert f"pip install 'marserve[{extra}]'" in str(caught.value.message)


async def test_a_process_that_dies_is_told_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_PROGRAM", "raise SystemExit('no such library')")
    with pytest.raises(DownloadFailed, match="Failed to fetch s3://b/m: no such library"):
        await uris(tmp_path).fetch("s3://b/m", None)


async def test_a_copy_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_PROGRAM", "import time; time.sleep(60)")
    limits = DownloadLimits(total_timeout_s=0.1)
    with pytest.raises(DownloadFailed, match=r"s3://b/m: it took longer than 0.1 seconds"):
        remote.copy_remote("s3://b/m", tmp_path / "t", "", limits, Cancellation())


async def test_what_the_process_says_is_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    lines = ['{"done_bytes": 1000000, "total_bytes": 2000000}', '{"fingerprint": "f"}']
    program = "; ".join(f"print({line!r})" for line in lines)
    monkeypatch.setattr(remote, "_PROGRAM", program)
    limits = DownloadLimits(progress_interval_s=0)
    assert remote.copy_remote("s3://b/m", tmp_path / "t", "", limits, Cancellation()) == "f"
    assert "Downloading s3://b/m: 1.0 of 2.0 MB" in caplog.text
    monkeypatch.setattr(remote, "_PROGRAM", """print('{"unchanged": true}')""")
    with pytest.raises(NotModified):
        remote.copy_remote("s3://b/m", tmp_path / "t", "f", limits, Cancellation())


async def test_a_process_ends_when_nobody_waits_for_it_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "pid"
    program = (
        f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(60)"
    )
    monkeypatch.setattr(remote, "_PROGRAM", program)
    found = uris(tmp_path)
    fetch = asyncio.create_task(found.fetch("s3://b/m", None))
    await until(lambda: mark.exists() and mark.read_text().endswith("."))
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    await asyncio.wait_for(found.close(), 10)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()[:-1]), 0)


def test_a_scheme_in_capital_letters_is_the_same_one(store: Any, tmp_path: Path) -> None:
    store.pipe("/bucket/key", b"x")
    run("S3://bucket/key", tmp_path / "copy")
    assert (tmp_path / "copy" / "key").read_bytes() == b"x"
