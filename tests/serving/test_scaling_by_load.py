"""Workers that come and go by load, with real processes."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from support.replies import AwaitedReply, make_request
from support.waiting import until

from mms.errors import BadRequest
from mms.serving import RegisterOptions
from mms.serving.workers.allowance import CpuUse, allowance_of

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
#: Each request takes a tenth of a second.
SLOW = "import time\ndef handle(data, context):\n    return data and (time.sleep(0.1), ['OK'] * len(data))[1]\n"


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mms.serving.workers.allowance.available_cpus", lambda: 4)


def send(bench: Any, name: str, count: int) -> list[asyncio.Future[Any]]:
    replies = []
    for _ in range(count):
        reply = AwaitedReply()
        bench.host.submit(make_request(name, reply))
        replies.append(reply.done)
    return replies


def workers(bench: Any, name: str) -> int:
    return len(bench.described(name)["workers"])


def loads_of(folder: Path) -> list[Path]:
    return list(folder.glob("load-*"))


def loads(folder: Path) -> int:
    return len(loads_of(folder))


def is_there(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def kinds(bench: Any, name: str) -> list[str]:
    return [each["decision"] for each in bench.host.scaling(name)["decisions"]]


async def test_a_model_with_a_target_gets_workers_under_load(bench: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    await bench.register("m", SLOW, scale_target_ms=100)
    await bench.host.scale("m", None, 1, 4, True)
    replies = send(bench, "m", 60)
    await until(lambda: workers(bench, "m") > 1, "another worker")
    assert {await reply for reply in replies} == {(200, b"OK")}
    scaling = bench.host.scaling("m")
    first = scaling["decisions"][-1]
    assert (first["decision"], first["before"]) == ("up", 1)
    assert "requests wait" in first["reason"]
    assert scaling["wantedWorkers"] >= 1
    assert f"Model m: 1 -> {first['after']} workers: requests wait" in caplog.text


async def test_without_a_target_a_maximum_above_the_minimum_starts_nothing(bench: Any) -> None:
    await bench.register("m", SLOW)
    await bench.host.scale("m", None, 1, 4, True)
    assert {await reply for reply in send(bench, "m", 20)} == {(200, b"OK")}
    assert workers(bench, "m") == 1
    assert bench.host.scaling("m")["isScaledByLoad"] is False


async def test_a_model_without_requests_rests_at_its_minimum_and_is_woken_again(bench: Any) -> None:
    await bench.register("m", OK, lazy_load=True, initial_workers=2, idle_ttl_s=0.4)
    assert await bench.predict("m") == (200, b"OK")
    await until(lambda: workers(bench, "m") == 0, "all workers have gone", 10)
    assert bench.host.scaling("m")["decisions"][0]["reason"] == "no request for 0.4 seconds"
    assert bench.host.is_ready("m")
    assert await bench.predict("m") == (200, b"OK")


async def test_a_model_that_rests_leaves_no_process_to_fork_workers_from(
    bench: Any, tmp_path: Path
) -> None:
    code = (
        f"import os, pathlib\n(pathlib.Path({str(tmp_path)!r}) / f'load-{{os.getpid()}}').touch()\n"
        + OK
    )
    await bench.register("m", code, lazy_load=True, preload_model=True, idle_ttl_s=0.4)
    assert await bench.predict("m") == (200, b"OK")
    [parent] = [path.name.removeprefix("load-") for path in loads_of(tmp_path)]
    await until(lambda: not is_there(parent), "the process that had loaded it has ended", 10)
    assert await bench.predict("m") == (200, b"OK")
    assert loads(tmp_path) == 2


async def test_requests_that_run_keep_a_model_awake(bench: Any, tmp_path: Path) -> None:
    code = (
        "import pathlib, time\ndef handle(data, context):\n"
        f"    while data and not (pathlib.Path({str(tmp_path)!r}) / 'go').exists():\n"
        "        time.sleep(0.005)\n    return data and ['OK'] * len(data)\n"
    )
    await bench.register("m", code, lazy_load=True, idle_ttl_s=0.3)
    [running] = send(bench, "m", 1)
    await until(lambda: bench.described("m")["workers"][0]["state"] == "BUSY")
    # Longer than it may be idle.
    await asyncio.wait({running}, timeout=1.0)
    assert kinds(bench, "m") == []
    (tmp_path / "go").touch()
    assert await running == (200, b"OK")


async def test_the_machine_limits_how_many_workers_load_brings(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.serving.workers.allowance.available_cpus", lambda: 1)
    await bench.register("m", "while False:\n    pass\n" + SLOW, scale_target_ms=50)
    await bench.host.scale("m", None, 1, 4, True)
    monkeypatch.setattr("mms.serving.workers.allowance.CpuUse.share", 1.0)
    replies = send(bench, "m", 30)
    await until(lambda: kinds(bench, "m"), "a decision")
    assert {await reply for reply in replies} == {(200, b"OK")}
    assert workers(bench, "m") == 1
    [decision] = bench.host.scaling("m")["decisions"]
    assert decision["decision"] == "limited"
    assert decision["reason"].endswith("no more than 1 CPU can serve")


async def test_a_worker_that_waits_more_than_it_computes_is_limited_less(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.serving.workers.allowance.available_cpus", lambda: 1)
    await bench.register("m", SLOW, scale_target_ms=50)
    await bench.host.scale("m", None, 1, 3, True)
    replies = send(bench, "m", 60)
    await until(lambda: workers(bench, "m") > 1, "another worker, as the first one sleeps")
    assert {await reply for reply in replies} == {(200, b"OK")}


async def test_free_memory_limits_how_many_workers_load_brings(bench: Any) -> None:
    await bench.register("m", OK, scale_target_ms=50)
    served = bench.host.registry.get("m")
    allowed = allowance_of(served, CpuUse(), 1000, free=lambda: 256 * 2**20)
    assert allowed.workers == 1
    assert allowed.reason.startswith("the free memory has room for")


async def test_no_load_brings_more_workers_than_a_model_may_have(make_bench: Any) -> None:
    bench = await make_bench(max_workers_per_model=2)
    await bench.register("m", OK)
    # As scripts for MMS say it, which has no such limit.
    await bench.host.scale("m", None, 1, 5000, True)
    served = bench.host.registry.get("m")
    assert bench.host._workers.grow(served, 3) == 1
    allowed = allowance_of(served, CpuUse(), 1, free=lambda: 2**40)
    assert (allowed.workers, allowed.reason) == (1, "max_workers_per_model allows")


async def test_a_model_on_gpus_gets_one_worker_for_each_by_load(make_bench: Any) -> None:
    bench = await make_bench(gpu_count=2)
    await bench.register("m", OK)
    allowed = allowance_of(bench.host.registry.get("m"), CpuUse(), 1000, free=lambda: 2**40)
    assert (allowed.workers, allowed.reason) == (2, "2 GPUs can serve")


async def test_scaling_by_hand_wins_over_what_was_decided(bench: Any) -> None:
    await bench.register("m", SLOW, scale_target_ms=50)
    await bench.host.scale("m", None, 1, 4, True)
    replies = send(bench, "m", 40)
    await until(lambda: workers(bench, "m") > 1, "another worker")
    await bench.host.scale("m", None, 1, 1, True)
    assert {await reply for reply in replies} == {(200, b"OK")}
    decided = len(kinds(bench, "m"))
    assert {await reply for reply in send(bench, "m", 10)} == {(200, b"OK")}
    assert len(kinds(bench, "m")) == decided
    assert bench.host.scaling("m")["reason"] == "max_worker is not above min_worker."


async def test_a_worker_of_the_scalers_that_cannot_load_is_not_started_over_and_over(
    bench: Any, tmp_path: Path
) -> None:
    code = (
        "import os, pathlib\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "(folder / f'load-{os.getpid()}').touch()\n"
        "if len(list(folder.glob('load-*'))) > 1:\n    raise RuntimeError('no room for two')\n"
        + SLOW
    )
    await bench.register("m", code, lazy_load=True, initial_workers=1, scale_target_ms=50)
    await bench.host.scale("m", None, 0, 4, True)
    replies = send(bench, "m", 30)
    assert {await reply for reply in replies} == {(200, b"OK")}
    assert 2 <= loads(tmp_path) <= 5
    assert bench.host.is_ready("m")


async def test_a_change_of_the_target_holds_at_once(bench: Any) -> None:
    await bench.register("m", SLOW)
    await bench.host.scale("m", None, 1, 4, True)
    await bench.host.change("m", None, {"scale_target_ms": 50}, True)
    assert bench.host.scaling("m")["scaleTarget"] == 50
    replies = send(bench, "m", 40)
    await until(lambda: workers(bench, "m") > 1, "another worker")
    assert {await reply for reply in replies} == {(200, b"OK")}


async def test_an_error_of_the_policy_concerns_its_model_alone(
    bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    for name in ("bad", "good"):
        await bench.register(name, SLOW, scale_target_ms=50)
        await bench.host.scale(name, None, 1, 4, True)

    def fail(*_: object) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(bench.host.registry.get("bad").scaling, "decide", fail)
    replies = send(bench, "good", 40)
    await until(lambda: workers(bench, "good") > 1, "another worker")
    assert {await reply for reply in replies} == {(200, b"OK")}
    assert await bench.predict("bad") == (200, b"OK")


async def test_a_graph_has_no_scaling_of_its_own(bench: Any) -> None:
    await bench.register("a", OK)
    graph = {"name": "main", "graph": {"name": "a", "type": "MODEL"}}
    (bench.store / "g.yaml").write_text(json.dumps(graph))
    await bench.host.register(RegisterOptions("g.yaml", model_name="g"))
    with pytest.raises(BadRequest, match="which has no workers"):
        bench.host.scaling("g")
