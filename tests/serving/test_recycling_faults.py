"""Recycling that runs into what nothing foresaw leaves the model as it was, and goes on later."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mms import faults
from mms.serving.workers.recycling import RecycledRunner, Recycling

_LIMIT_S = 15.0
_CODE = "def handle(data, context):\n    return data and [b'' for _ in data]\n"


class Injected(Exception):
    """What nothing foresaw."""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A Unix socket's path has room for about a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="mmst-") as name:
        yield Path(name)


def raise_once(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    function = getattr(owner, name)
    raised: list[str] = []

    def instead(*arguments: Any, **more: Any) -> Any:
        if not raised:
            raised.append(name)
            raise Injected(name)
        return function(*arguments, **more)

    async def instead_later(*arguments: Any, **more: Any) -> Any:
        return await instead(*arguments, **more)

    is_later = asyncio.iscoroutinefunction(function)
    monkeypatch.setattr(owner, name, instead_later if is_later else instead)
    return raised


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Recycling, "_replace"),
        (Recycling, "on_spent"),
        (RecycledRunner, "on_result"),
        (RecycledRunner, "__init__"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_what_raises_once_while_a_worker_is_recycled_is_made_up_for_by_the_next(
    bench_class: Callable[..., Any],
    short_folder: Path,
    owner: Any,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = bench_class(short_folder, max_requests_per_worker=3)
    await bench.start()
    await bench.register("m", _CODE, initial_workers=1)
    first = bench.described("m")["workers"][0]["id"]
    raised = raise_once(owner, name, monkeypatch)
    before = sum(faults.counts().values())

    def is_replaced() -> bool:
        workers = bench.described("m")["workers"]
        return [w["state"] for w in workers] == ["READY"] and workers[0]["id"] != first

    async def is_recycled() -> None:
        while not (raised and is_replaced()):
            await bench.predict("m", b"echo")
            await asyncio.sleep(0.005)

    await asyncio.wait_for(is_recycled(), _LIMIT_S)
    assert sum(faults.counts().values()) > before
    assert f"Injected: {name}" in caplog.text
    await bench.stop()


async def test_a_look_at_a_worker_s_memory_that_raises_is_repeated(
    bench_class: Callable[..., Any],
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("mms.serving.workers.recycling._LOOK_S", 0.01)
    bench = bench_class(short_folder, worker_memory_limit=1 << 40)
    await bench.start()
    await bench.register("m", _CODE, initial_workers=1)
    looks = asyncio.Semaphore(0)
    check = RecycledRunner.check_memory

    def watched(runner: RecycledRunner) -> None:
        looks.release()
        check(runner)

    monkeypatch.setattr(RecycledRunner, "check_memory", watched)
    raise_once(RecycledRunner, "check_memory", monkeypatch)
    await asyncio.wait_for(looks.acquire(), _LIMIT_S)
    assert "Injected: check_memory" in caplog.text
    await bench.stop()
