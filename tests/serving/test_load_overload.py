"""More models are asked for than can be loaded at once: what is loaded serves, and all are answered in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from mms.settings.memory_size import MemorySize

MB = 10**6
OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
#: Loads once the folder has the file `go`.
HELD = """
import pathlib, time
while not (pathlib.Path({folder!r}) / "go").exists():
    time.sleep(0.005)
"""


@pytest.fixture
def _equal_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mms.serving.workers.residency.worker_bytes", lambda pid, parents: 30 * MB)
    monkeypatch.setattr("mms.serving.workers.residency.server_bytes", lambda pids: 0)


def states(bench: Any, name: str) -> list[str]:
    return [worker["state"] for worker in bench.described(name)["workers"]]


@pytest.mark.usefixtures("_equal_models")
async def test_loads_that_wait_for_their_turn_have_nobody_give_way(
    make_bench: Any, tmp_path: Path
) -> None:
    limit = MemorySize(size_bytes=100 * MB)
    bench = await make_bench(memory_limit=limit, max_concurrent_loads=1, min_residence_s=0.0)
    for name in ("a", "b", "c", "e"):
        await bench.register(name, OK, lazy_load=True)
    await bench.register("d", HELD.format(folder=str(tmp_path)) + OK, lazy_load=True)
    for name in "abc":
        await bench.predict(name)
    _, fourth = bench.submit("d")
    await until(lambda: states(bench, "d") == ["LOADING"])
    _, fifth = bench.submit("e")
    await until(lambda: "its turn" in str(bench.described("e")["workers"]))
    # One has made room for the load that goes on; the others serve.
    assert sorted(states(bench, name) for name in "abc") == [[], ["READY"], ["READY"]]
    (tmp_path / "go").touch()
    assert await asyncio.wait_for(fourth.done, 20) == (200, b"OK")
    assert await asyncio.wait_for(fifth.done, 20) == (200, b"OK")


@pytest.mark.usefixtures("_equal_models")
async def test_a_crowd_of_loads_is_answered_and_the_memory_stays_full_of_models(
    make_bench: Any,
) -> None:
    room, count = 4, 12
    limit = MemorySize(size_bytes=(room * 30 + 10) * MB)
    bench = await make_bench(memory_limit=limit, max_concurrent_loads=2, min_residence_s=0.0)
    names = [f"m{number}" for number in range(count)]
    for name in names:
        await bench.register(name, OK, lazy_load=True)
    for name in names[:room]:
        await bench.predict(name)
    answers = asyncio.gather(*(bench.predict(name) for name in names * 2))
    fewest = room
    while not answers.done():
        serving = sum(states(bench, name) in (["READY"], ["BUSY"]) for name in names)
        fewest = min(fewest, serving)
        await asyncio.wait((answers,), timeout=0.002)
    assert set(await answers) == {(200, b"OK")}
    assert fewest >= room - 2
    evictions = sum(bench.described(name)["memory"]["evictions"] for name in names)
    assert evictions == count - room


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    held, seen = tmp_path / "held", tmp_path / "seen"
    held.mkdir()
    seen.mkdir()
    yield held, seen
    (held / "go").touch()


async def test_a_load_whose_requests_have_gone_by_its_turn_is_not_begun(
    make_bench: Any, folders: tuple[Path, Path]
) -> None:
    held, seen = folders
    counted = f"import os, pathlib\n(pathlib.Path({str(seen)!r}) / str(os.getpid())).touch()\n"
    bench = await make_bench(max_concurrent_loads=1)
    await bench.register("first", HELD.format(folder=str(held)) + OK, lazy_load=True)
    for name in ("left", "wanted"):
        await bench.register(name, counted + OK, lazy_load=True)
    _, first = bench.submit("first")
    await until(lambda: states(bench, "first") == ["LOADING"])
    gone, _ = bench.submit("left")
    _, wanted = bench.submit("wanted")
    bench.host.registry.get("left").cancel(gone)
    (held / "go").touch()
    for each in (first, wanted):
        assert await asyncio.wait_for(each.done, 20) == (200, b"OK")
    assert states(bench, "left") == []
    assert len(list(seen.iterdir())) == 1
    # That is no failure: the next request loads it.
    assert await bench.predict("left") == (200, b"OK")
