"""Models that give way to others as memory is limited. What their workers hold is played."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from support.replies import AwaitedReply, make_request
from support.waiting import until

from mms.core.residency.footprint import Footprint
from mms.errors import InsufficientMemory, ServiceUnavailable, WorkerStartFailed
from mms.settings.memory_size import MemorySize

MB = 10**6
OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
#: Answers once the folder has the file `go`.
HELD = """
import pathlib, time
def handle(data, context):
    folder = pathlib.Path({folder!r})
    while data and not (folder / "go").exists():
        time.sleep(0.005)
    return data and ['OK'] * len(data)
"""

Limited = Callable[..., Any]


@pytest.fixture
def sizes() -> dict[str, int]:
    """What a worker of each model holds, in MB; 30 where it says nothing. "": what the server itself does."""
    return {}


@pytest.fixture
async def limited(
    make_bench: Any, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]
) -> Limited:
    """A host whose workers may hold 70 MB together."""

    async def make(**settings: Any) -> Any:
        bench = await make_bench(
            **{"memory_limit": MemorySize(size_bytes=70 * MB), "min_residence_s": 0.0, **settings}
        )

        def played(pid: int, parents: int) -> int:
            for served in bench.host.registry.all():
                if any(worker.pid == pid for worker in served.workers):
                    return sizes.get(served.name, 30) * MB
            return 0

        monkeypatch.setattr("mms.serving.workers.residency.worker_bytes", played)
        # A busy machine would have one model cost more to load again than another.
        note = Footprint.note_load
        monkeypatch.setattr(
            Footprint, "note_load", lambda self, size, _load_s: note(self, size, 0.1)
        )
        own = "mms.serving.workers.residency.server_bytes"
        monkeypatch.setattr(own, lambda pids: sizes.get("", 0) * MB)
        return bench

    return make


class Nvml(ModuleType):
    """A driver of one GPU of 100 MB, on which each worker holds what `sizes` says of its model, in MB."""

    NVMLError = RuntimeError

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__("pynvml")
        self.sizes = sizes
        self.bench: Any = None

    def nvmlInit(self) -> None:
        return

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetUUID(self, device: int) -> str:
        return f"GPU-{device}0000000"

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        return SimpleNamespace(total=100 * MB)

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:
        return [
            SimpleNamespace(pid=worker.pid, usedGpuMemory=self.sizes[served.name] * MB)
            for served in self.bench.host.registry.all()
            for worker in served.workers
        ]


@pytest.fixture
async def on_gpu(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> Limited:
    """A host with one GPU. The argument: what a worker of each model holds of it, in MB."""

    async def make(sizes: dict[str, int]) -> Any:
        nvml = Nvml(sizes)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        nvml.bench = await limited(gpu_count=1, memory_limit=MemorySize(size_bytes=1000 * MB))
        return nvml.bench

    return make


def loaded(bench: Any) -> list[str]:
    """The models with a worker that stays."""
    return [
        name
        for name, _ in bench.host.list_models()
        if any(w["state"] not in ("DRAINING", "STOPPED") for w in bench.described(name)["workers"])
    ]


async def refusal(bench: Any, name: str) -> ServiceUnavailable:
    reply = AwaitedReply(raises=True)
    with pytest.raises(ServiceUnavailable) as error:
        bench.host.submit(make_request(name, reply))
        await asyncio.wait_for(reply.done, 20)
    return error.value


async def test_the_model_that_was_used_longest_ago_gives_way(
    limited: Limited, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await limited()
    for name in "abc":
        await bench.register(name, OK, lazy_load=True)
    assert await bench.predict("a") == (200, b"OK")
    assert await bench.predict("b") == (200, b"OK")
    assert await bench.predict("a") == (200, b"OK")
    with caplog.at_level(logging.INFO):
        assert await bench.predict("c") == (200, b"OK")
    assert loaded(bench) == ["a", "c"]
    [line] = [
        m for m in caplog.messages if m.startswith("Model b is unloaded (memory_limit): 30.0 MB")
    ]
    assert "gives way to c, which takes 30.0 MB: 60.0 MB of 70.0 MB are held" in line
    memory = bench.described("b")["memory"]
    assert (memory["residentBytes"], memory["loadedBytes"], memory["evictions"]) == (0, 30 * MB, 1)
    # It is asked again, and comes back.
    assert await bench.predict("b") == (200, b"OK")


async def test_without_a_limit_nothing_gives_way_and_nothing_is_said(bench: Any) -> None:
    await bench.register("m", OK, lazy_load=True)
    assert await bench.predict("m") == (200, b"OK")
    assert "memory" not in bench.described("m")


async def test_pinned_models_and_models_by_number_stay(limited: Limited) -> None:
    bench = await limited()
    await bench.register("pinned", OK, lazy_load=True, pinned=True)
    await bench.predict("pinned")
    await bench.register("number", OK)
    await bench.register("m", OK, lazy_load=True)
    error = await refusal(bench, "m")
    assert error.http_status == 507
    assert (
        "it takes 30.0 MB of memory, memory_limit is 70.0 MB, and 60.0 MB are held by "
        "the server itself and models that have to stay" in str(error.message)
    )
    assert loaded(bench) == ["number", "pinned"]
    assert "60.0 MB are held" in bench.described("m")["loadError"]
    # Whoever is unpinned makes room.
    await bench.host.change("pinned", None, {"pinned": False}, True)
    await bench.host.scale("m", None, 1, 1, True)
    assert loaded(bench) == ["m", "number"]


async def test_a_load_by_number_has_idle_models_give_way_and_is_refused_where_none_can(
    limited: Limited,
) -> None:
    bench = await limited()
    await bench.register("lazy", OK, lazy_load=True)
    await bench.predict("lazy")
    await bench.register("first", OK)
    await bench.register("second", OK)
    assert loaded(bench) == ["first", "second"]
    with pytest.raises(WorkerStartFailed) as error:
        await bench.register("third", OK)
    assert error.value.http_status == 507
    assert (
        "60.0 MB are held by the server itself and models that have to stay" in error.value.reason
    )
    assert not bench.host.has_model("third")
    # The host has unloaded one, as SageMaker does.
    await bench.host.unregister("first")
    await bench.host.unregister("second")
    assert await bench.predict("lazy") == (200, b"OK")


async def test_a_model_that_cannot_fit_is_refused_once_it_is_measured_and_then_without_a_load(
    limited: Limited, sizes: dict[str, int]
) -> None:
    bench = await limited()
    sizes["large"] = 90
    await bench.register("large", OK, lazy_load=True)
    await bench.register("small", OK, lazy_load=True)
    await bench.predict("small")
    error = await refusal(bench, "large")
    assert isinstance(error, InsufficientMemory)
    assert "it takes 90.0 MB of memory, memory_limit is 70.0 MB" in str(error.message)
    assert (error.retry_after_s or 0) >= 1
    await until(lambda: bench.host.is_ready("large"), "the wait is over", 5)
    assert (await refusal(bench, "large")).http_status == 507
    # It is known: nobody had to make room for it again.
    assert bench.described("small")["memory"]["evictions"] <= 1


async def test_what_the_server_itself_holds_is_a_part_of_the_limit(
    limited: Limited, sizes: dict[str, int]
) -> None:
    sizes[""] = 35
    bench = await limited()
    for name in "ab":
        await bench.register(name, OK, lazy_load=True)
        assert await bench.predict(name) == (200, b"OK")
    assert loaded(bench) == ["b"]
    sizes["large"] = 40
    await bench.register("large", OK, lazy_load=True)
    assert "35.0 MB are held by the server itself" in str((await refusal(bench, "large")).message)


async def test_a_model_counts_for_what_models_like_it_hold_after_their_first_requests(
    limited: Limited, sizes: dict[str, int]
) -> None:
    bench = await limited()
    sizes.update(a=20, b=20, c=20)
    await bench.register("a", OK, lazy_load=True)
    await bench.predict("a")
    sizes["a"] = 30
    await until(
        lambda: bench.described("a")["memory"]["residentBytes"] == 30 * MB, "it is measured", 5
    )
    for name in "bc":
        await bench.register(name, OK, lazy_load=True)
    await bench.predict("b")
    # Three of 20 MB would fit.
    await bench.predict("c")
    assert len(loaded(bench)) == 2


async def test_workers_of_a_new_model_wait_until_it_is_known_what_one_takes(
    limited: Limited, sizes: dict[str, int]
) -> None:
    bench = await limited()
    sizes["m"] = 10
    # A worker is taken for 32 MB before any has loaded.
    outcome = await bench.register("m", OK, initial_workers=5)
    assert (outcome.status, len(bench.pids("m"))) == (200, 5)
    with pytest.raises(WorkerStartFailed, match="Failed to start workers"):
        await bench.host.scale("m", None, 8, 8, True)


async def test_a_model_that_found_no_room_is_loaded_as_soon_as_there_is_some(
    limited: Limited,
) -> None:
    bench = await limited()
    for name in ("first", "second"):
        await bench.register(name, OK)
    await bench.register("m", OK, lazy_load=True)
    assert (await refusal(bench, "m")).http_status == 507
    # Others need not wait for the time after which a failed load is tried again.
    await bench.host.unregister("first")
    assert await bench.predict("m") == (200, b"OK")


async def test_a_model_that_was_registered_before_is_known(
    limited: Limited, sizes: dict[str, int]
) -> None:
    bench = await limited()
    await bench.register("m", OK, lazy_load=True)
    await bench.predict("m")
    await bench.host.unregister("m")
    from mms.serving import RegisterOptions

    await bench.host.register(RegisterOptions("m", lazy_load=True))
    assert bench.described("m")["memory"]["loadedBytes"] == 30 * MB


async def test_a_load_waits_for_busy_models_and_nothing_is_lost(
    limited: Limited, tmp_path: Path
) -> None:
    bench = await limited()
    for name in ("a", "b"):
        await bench.register(name, HELD.format(folder=str(tmp_path)), lazy_load=True)
    await bench.register("c", OK, lazy_load=True)
    running = [bench.submit(name)[1].done for name in ("a", "b")]
    await until(lambda: all(bench.described(n)["workers"][0]["state"] == "BUSY" for n in "ab"))
    _, waiting = bench.submit("c")
    await until(lambda: "memory" in bench.described("c")["workers"][0].get("reason", ""))
    assert bench.described("c")["workers"][0]["reason"].startswith(
        "waits for memory: 60.0 MB of 70.0 MB (memory_limit) are held, it takes 30.0 MB"
    )
    assert not waiting.done.done()
    (tmp_path / "go").touch()
    assert await asyncio.wait_for(waiting.done, 20) == (200, b"OK")
    assert [await each for each in running] == [(200, b"OK")] * 2


async def test_a_load_begins_when_those_that_gave_way_are_gone(
    limited: Limited, sizes: dict[str, int], tmp_path: Path
) -> None:
    gone, early = tmp_path / "gone", tmp_path / "early"
    leaves = f"""
import atexit, pathlib, time
atexit.register(lambda: (time.sleep(0.3), pathlib.Path({str(gone)!r}).touch()))
"""
    looks = f"""
import pathlib
pathlib.Path({str(gone)!r}).exists() or pathlib.Path({str(early)!r}).touch()
"""
    bench = await limited()
    sizes.update(a=60, b=60)
    await bench.register("a", leaves + OK, lazy_load=True)
    await bench.register("b", looks + OK, lazy_load=True)
    await bench.predict("a")
    assert await bench.predict("b") == (200, b"OK")
    assert (gone.exists(), early.exists()) == (True, False)


async def test_steady_traffic_of_one_model_does_not_keep_another_out(
    limited: Limited, sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.core.residency.policy.PATIENCE_S", 0.2)
    bench = await limited()
    sizes.update(a=60, b=60)
    slow = "import time\n" + OK.replace("return", "data and time.sleep(0.01)\n    return")
    for name in "ab":
        await bench.register(name, slow, lazy_load=True)
    await bench.predict("a")
    is_over = False
    answers: list[tuple[int, bytes]] = []

    async def ask_again_and_again() -> None:
        while not is_over:
            answers.append(await bench.predict("a"))

    clients = [asyncio.create_task(ask_again_and_again()) for _ in range(4)]
    assert await bench.predict("b") == (200, b"OK")
    is_over = True
    await asyncio.gather(*clients)
    assert set(answers) == {(200, b"OK")}
    assert bench.described("a")["memory"]["evictions"] == 1


async def test_two_models_that_do_not_fit_together_take_turns_and_the_log_says_so_once(
    limited: Limited, sizes: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    bench = await limited()
    sizes.update(a=60, b=60)
    for name in "ab":
        await bench.register(name, OK, lazy_load=True)
    with caplog.at_level(logging.INFO):
        for name in "abababab":
            assert await bench.predict(name) == (200, b"OK")
        # Both at once, from many clients.
        answers = await asyncio.gather(*(bench.predict(name) for name in "ab" * 20))
    assert set(answers) == {(200, b"OK")}
    told = [m for m in caplog.messages if "do not fit into memory_limit (70.0 MB) together" in m]
    assert len(told) == 1, told


async def test_many_models_at_once_stay_within_the_limit(limited: Limited) -> None:
    bench = await limited()
    names = [f"m{number}" for number in range(6)]
    for name in names:
        await bench.register(name, OK, lazy_load=True)
    answers = await asyncio.gather(*(bench.predict(name) for name in names * 3))
    assert set(answers) == {(200, b"OK")}
    assert len(loaded(bench)) == 2


async def test_a_model_that_grows_has_others_give_way(
    limited: Limited, sizes: dict[str, int]
) -> None:
    bench = await limited()
    for name in "ab":
        await bench.register(name, OK, lazy_load=True, pinned=name == "a")
        await bench.predict(name)
    sizes["a"] = 50
    await until(lambda: loaded(bench) == ["a"], "b has given way", 5)
    assert bench.described("a")["memory"]["peakBytes"] == 50 * MB


async def test_a_preloaded_model_that_gives_way_leaves_no_parent(limited: Limited) -> None:
    bench = await limited()
    await bench.register("a", OK, lazy_load=True, preload_model=True)
    await bench.predict("a")
    [pid] = bench.pids("a")
    from mms.processes.tree import parent_of

    parent = parent_of(parent_of(pid) or 0)
    for name in "bc":
        await bench.register(name, OK, lazy_load=True, pinned=True)
        await bench.predict(name)
    assert loaded(bench) == ["b", "c"]
    await until(lambda: not Path(f"/proc/{parent}").exists(), "the parent is gone")
    await bench.host.unregister("c")
    assert await bench.predict("a") == (200, b"OK")


# Those that the kernel kills

DIES = "import os, signal\n" + OK.replace(
    "return", "data and os.kill(os.getpid(), signal.SIGKILL)\n    return"
)
DIES_AT_LOAD = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n" + OK


@pytest.fixture
def oom_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has counted a kill of its own just now."""
    monkeypatch.setattr("mms.machine.memory.OomKills.has_killed", lambda *_: True)


@pytest.mark.usefixtures("oom_killed")
async def test_a_worker_that_the_kernel_kills_for_memory_is_named_in_answer_log_and_description(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.register("m", DIES, retry=False)
    with caplog.at_level(logging.INFO):
        assert await bench.predict("m") == (507, b"Worker died: out of memory.")
        await until(lambda: bench.described("m")["workers"][0].get("oomKills") == 1)
    assert any("killed by SIGKILL, out of memory: the OOM killer" in m for m in caplog.messages)


@pytest.mark.usefixtures("oom_killed")
async def test_a_load_that_the_kernel_ends_for_memory_is_507(bench: Any) -> None:
    await bench.register("m", DIES_AT_LOAD, lazy_load=True)
    error = await refusal(bench, "m")
    assert error.http_status == 507
    assert "killed by SIGKILL, out of memory: the OOM killer" in str(error.message)


async def test_a_worker_that_somebody_else_kills_is_not_taken_for_one(bench: Any) -> None:
    await bench.register("m", DIES, retry=False)
    assert await bench.predict("m") == (500, b"Worker died.")


async def test_models_give_way_by_the_memory_of_their_gpu_too(
    on_gpu: Limited, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await on_gpu(dict.fromkeys("abc", 40))
    for name in "abc":
        await bench.register(name, OK, lazy_load=True)
    for name in "aba":
        assert await bench.predict(name) == (200, b"OK")
    assert bench.described("a")["memory"]["gpuBytes"] == 40 * MB
    with caplog.at_level(logging.INFO):
        assert await bench.predict("c") == (200, b"OK")
    assert loaded(bench) == ["a", "c"]
    assert any("are held of the memory of GPU 0" in message for message in caplog.messages)


async def test_a_model_larger_than_its_gpu_is_refused_with_the_numbers(on_gpu: Limited) -> None:
    bench = await on_gpu({"small": 40, "large": 120})
    await bench.register("small", OK, lazy_load=True)
    await bench.register("large", OK, lazy_load=True)
    assert await bench.predict("small") == (200, b"OK")
    error = await refusal(bench, "large")
    assert error.http_status == 507
    assert "it takes 120.0 MB of memory, the memory of GPU 0 is 95.0 MB" in str(error.message)
    assert await bench.predict("small") == (200, b"OK")


async def test_without_the_package_or_a_driver_gpus_are_not_measured(
    on_gpu: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await on_gpu({"m": 500})

    def fail() -> None:
        raise RuntimeError("no driver")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", fail)
    await bench.register("m", OK, lazy_load=True)
    assert await bench.predict("m") == (200, b"OK")
    assert "gpuBytes" not in bench.described("m")["memory"]


async def test_a_model_that_takes_nothing_of_its_gpu_has_nobody_on_it_give_way(
    on_gpu: Limited,
) -> None:
    bench = await on_gpu({"none": 0, "a": 45, "b": 45})
    for name in ("none", "a", "b"):
        await bench.register(name, OK, lazy_load=True)
        assert await bench.predict(name) == (200, b"OK")
    await bench.host.scale("none", None, 2, 2, True)
    assert loaded(bench) == ["a", "b", "none"]
    # Whoever comes next is taken for what the others take, which is not nothing.
    assert bench.host.registry.get("none").memory.footprint.gpu_bytes == 0


async def test_a_load_that_is_given_up_while_gpus_are_looked_for_leaves_them_to_the_next(
    on_gpu: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await on_gpu({"m": 40})
    residency = bench.host._workers.residency
    may_go = threading.Event()
    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", may_go.wait)
    looking = asyncio.ensure_future(residency._gpu_policy(0))
    await asyncio.sleep(0)
    looking.cancel()
    may_go.set()
    with pytest.raises(asyncio.CancelledError):
        await looking
    await bench.register("m", OK, lazy_load=True)
    assert await bench.predict("m") == (200, b"OK")
    assert bench.described("m")["memory"]["gpuBytes"] == 40 * MB


async def test_a_model_that_its_gpu_has_no_room_for_is_loaded_as_soon_as_there_is_some(
    on_gpu: Limited,
) -> None:
    bench = await on_gpu({"first": 40, "second": 40, "m": 40})
    await bench.register("m", OK, lazy_load=True)
    assert await bench.predict("m") == (200, b"OK")
    for name in ("first", "second"):
        await bench.register(name, OK)
    error = await refusal(bench, "m")
    assert "the memory of GPU 0 is 95.0 MB, and 80.0 MB are held" in str(error.message)
    await bench.host.unregister("first")
    assert await bench.predict("m") == (200, b"OK")


async def test_models_that_take_turns_on_a_gpu_and_one_that_outgrows_it_are_told_of(
    on_gpu: Limited, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"a": 60, "b": 60}
    bench = await on_gpu(sizes)
    for name in sizes:
        await bench.register(name, OK, lazy_load=True)
    for name in "abab":
        assert await bench.predict(name) == (200, b"OK")
    assert any(
        "do not fit into the memory of GPU 0 (95.0 MB) together" in m for m in caplog.messages
    )
    monkeypatch.setattr("mms.core.residency.policy.PATIENCE_S", 0.0)
    await bench.host.change("b", None, {"pinned": True}, True)
    sizes["b"] = 99
    await until(lambda: "the memory of GPU 0 is exceeded: 99.0 MB of 95.0 MB" in caplog.text)
