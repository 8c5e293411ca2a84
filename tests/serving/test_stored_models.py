"""Models of the store are listed, loaded, loaded anew and unloaded by name."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import Any

import pytest

from archiver.model_config import WorkerBounds, read_config_keys
from mms.errors import BadRequest, Conflict, InvalidModel, ModelNotFound, WorkerStartFailed
from mms.serving import RegisterOptions

SAYS = "def handle(data, context):\n    return data and ['{}'] * len(data)\n"
BROKEN = "raise RuntimeError('no such weights')\n"


async def rows(bench: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await bench.host.stored.index()]


def rewrite(bench: Any, url: str, code: str) -> None:
    """Put other code where the archive is, as a copy would."""
    (bench.store / url / "service.py").write_text(code)


async def test_the_index_has_what_manifests_say_whether_it_is_registered_or_not(bench: Any) -> None:
    await bench.register("here", SAYS.format("x"), version="1.0")
    bench.write("there", SAYS.format("x"), "2")
    bench.write("there", SAYS.format("x"), "3")
    (bench.store / "other.mar").write_bytes(b"no archive")
    found = await rows(bench)
    assert found[0] == ("here", "1.0", "READY", "")
    assert found[1][:3] == ("other", None, "UNAVAILABLE")
    assert "other.mar cannot be read" in found[1][3]
    assert found[2:] == [
        ("there", "2", "UNAVAILABLE", "not loaded"),
        ("there", "3", "UNAVAILABLE", "not loaded"),
    ]


async def test_a_folder_of_tritons_repository_has_one_row_before_and_after_its_load(
    bench: Any,
) -> None:
    folder = bench.store / "my-adder"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(
        "class TritonPythonModel:\n    def execute(self, requests): ...\n"
    )
    (folder / "config.pbtxt").write_text('backend: "python"')
    assert await rows(bench) == [("my-adder", "1", "UNAVAILABLE", "not loaded")]
    await bench.host.stored.load("my-adder")
    assert await rows(bench) == [("my-adder", "1", "READY", "")]
    (folder / "config.pbtxt").write_text("sequence_batching { }")
    await bench.host.stored.unload("my-adder")
    ((_, _, state, reason),) = await rows(bench)
    assert state == "UNAVAILABLE"
    assert "sequence_batching" in reason


async def test_the_index_tells_why_a_model_does_not_serve(bench: Any) -> None:
    with pytest.raises(WorkerStartFailed):
        await bench.register("m", BROKEN)
    url = bench.write("n", BROKEN)
    await bench.host.register(RegisterOptions(url, initial_workers=0))
    assert await rows(bench) == [
        ("m", None, "UNAVAILABLE", "not loaded"),
        ("n", None, "UNAVAILABLE", "Model n has no workers."),
    ]


async def test_a_load_starts_a_worker_for_every_version_in_the_store(bench: Any) -> None:
    bench.write("m", SAYS.format("one"), "1")
    bench.write("m", SAYS.format("two"), "2")
    await bench.host.stored.load("m")
    assert await bench.predict("m", version="1") == (200, b"one")
    assert await bench.predict("m", version="2") == (200, b"two")
    assert [row[2] for row in await rows(bench)] == ["READY", "READY"]


async def test_of_two_archives_of_a_version_the_registered_one_is_loaded_and_the_other_is_logged(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write("m", SAYS.format("first"), "1")
    shutil.copytree(bench.store / "m-1", bench.store / "m-copy")
    rewrite(bench, "m-copy", SAYS.format("copy"))
    await bench.host.stored.load("m")
    assert await bench.predict("m") == (200, b"first")
    assert "m in version 1 twice: m-1 is loaded, and m-copy is left out." in caplog.text
    await bench.host.stored.unload("m")
    await bench.host.register(RegisterOptions("m-copy", initial_workers=1))
    await bench.host.stored.load("m")
    assert await bench.predict("m") == (200, b"copy")
    assert [row[2] for row in await rows(bench)] == ["READY"]


async def test_an_archive_that_breaks_its_reader_concerns_no_other_one(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_layout(folder: Any) -> None:
        raise AttributeError("odd form")

    monkeypatch.setattr("mms.serving.stored.catalog.find_layout", find_layout)
    bench.write("m", SAYS.format("x"))
    (bench.store / "odd").mkdir()
    assert [row[:2] for row in await rows(bench)] == [("m", None), ("odd", None)]
    await bench.host.stored.load("m")
    assert await bench.predict("m") == (200, b"x")
    with pytest.raises(InvalidModel, match="odd cannot be read: AttributeError"):
        await bench.host.stored.load("odd")
    await bench.host.stored.unload("m")


async def test_a_load_of_a_loaded_model_loads_it_anew_while_requests_go_on(bench: Any) -> None:
    url = bench.write("m", SAYS.format("old"))
    await bench.host.register(RegisterOptions(url, initial_workers=2, batch_size=4))
    rewrite(bench, url, SAYS.format("new"))
    loading = asyncio.create_task(bench.host.stored.load("m"))
    answers = []
    while not loading.done():
        answers.append(await bench.predict("m"))
    await loading
    assert {status for status, _ in answers} == {200}
    assert await bench.predict("m") == (200, b"new")
    described = bench.described("m")
    assert described["batchSize"] == 4
    assert len(described["workers"]) == 2


async def test_code_of_the_same_size_and_time_is_loaded_anew_and_nothing_is_written_beside_it(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    url = bench.write("m", SAYS.format("old"))
    before = sorted(bench.store.rglob("*"))
    file = bench.store / url / "service.py"
    written_ns = file.stat().st_mtime_ns
    await bench.host.stored.load("m")
    rewrite(bench, url, SAYS.format("new"))
    os.utime(file, ns=(written_ns, written_ns))
    await bench.host.stored.load("m")
    assert await bench.predict("m") == (200, b"new")
    assert sorted(bench.store.rglob("*")) == before


async def test_a_failed_load_leaves_what_is_loaded(bench: Any) -> None:
    url = bench.write("m", SAYS.format("old"))
    await bench.host.stored.load("m")
    rewrite(bench, url, BROKEN)
    with pytest.raises(WorkerStartFailed) as caught:
        await bench.host.stored.load("m")
    assert "no such weights" in caught.value.reason
    assert await bench.predict("m") == (200, b"old")
    assert await rows(bench) == [("m", None, "READY", "")]


async def test_a_failed_first_load_leaves_nothing(bench: Any) -> None:
    bench.write("m", BROKEN)
    with pytest.raises(WorkerStartFailed):
        await bench.host.stored.load("m")
    assert not bench.host.has_model("m")


async def test_a_registered_model_that_is_not_in_the_store_by_its_name_is_loaded_from_its_own_url(
    bench: Any,
) -> None:
    url = bench.write("m", SAYS.format("old"))
    await bench.host.register(RegisterOptions(url, model_name="alias", initial_workers=1))
    rewrite(bench, url, SAYS.format("new"))
    await bench.host.stored.load("alias")
    assert await bench.predict("alias") == (200, b"new")
    assert not bench.host.has_model("m")


async def test_an_archive_that_has_another_version_by_now_takes_the_place_of_its_former_one(
    bench: Any,
) -> None:
    bench.write("m", SAYS.format("one"), "1")
    await bench.host.stored.load("m")
    shutil.rmtree(bench.store / "m-1")
    bench.write("m", SAYS.format("two"), "2")
    (bench.store / "m-2").rename(bench.store / "m-1")
    await bench.host.stored.load("m")
    assert await rows(bench) == [("m", "2", "READY", "")]


async def test_what_a_load_says_goes_before_the_archive_and_the_registration(bench: Any) -> None:
    bench.write("m", SAYS.format("x"))
    await bench.host.stored.load("m", read_config_keys({"batchSize": 8, "minWorkers": 2}))
    described = bench.described("m")
    assert (described["batchSize"], len(described["workers"])) == (8, 2)
    config = read_config_keys({"batchSize": 3})
    config.workers = WorkerBounds(1, 1)
    await bench.host.stored.load("m", config)
    described = bench.described("m")
    assert (described["batchSize"], len(described["workers"])) == (3, 1)


async def test_an_unload_takes_all_versions_and_a_second_one_finds_nothing_to_do(
    bench: Any,
) -> None:
    bench.write("m", SAYS.format("x"), "1")
    bench.write("m", SAYS.format("x"), "2")
    await bench.host.stored.load("m")
    await bench.host.stored.unload("m")
    assert not bench.host.has_model("m")
    assert {row[3] for row in await rows(bench)} == {"not loaded"}
    await bench.host.stored.unload("m")


async def test_names_that_are_nowhere_or_paths_or_in_use_are_refused(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("model", SAYS.format("x"))
    stored = bench.host.stored
    for operation in (stored.load, stored.unload):
        with pytest.raises(ModelNotFound, match="did you mean model"):
            await operation("modle")
        for name in ("", "..", "../model", "/etc/passwd", "a\\b", "http://h/model.mar"):
            with pytest.raises(BadRequest):
                await operation(name)
    (bench.store / "bad.mar").write_bytes(b"no archive")
    with pytest.raises(InvalidModel, match="bad.mar"):
        await stored.load("bad")
    await stored.load("model")
    monkeypatch.setattr(stored, "_users_of", lambda name: ["graph"])
    with pytest.raises(Conflict, match="graph"):
        await stored.unload("model")
    assert await bench.predict("model") == (200, b"x")


async def test_loads_and_unloads_of_one_name_come_one_after_the_other(bench: Any) -> None:
    bench.write("m", SAYS.format("x"))
    stored = bench.host.stored
    await asyncio.gather(stored.load("m"), stored.load("m"), stored.load("m"))
    assert len(bench.described("m")["workers"]) == 1
    await asyncio.gather(stored.unload("m"), stored.load("m"))
    assert bench.host.is_ready("m")


async def test_a_state_file_keeps_what_was_loaded_and_forgets_what_was_unloaded(
    make_bench: Any, tmp_path: Any
) -> None:
    file = tmp_path / "state.json"
    bench = await make_bench(state_file=str(file))
    await bench.host.load_startup_models()
    bench.write("m", SAYS.format("x"))
    await bench.host.stored.load("m")
    await bench.host.stored.load("m", read_config_keys({"batchSize": 5}))
    assert '"batch_size": 5' in file.read_text().splitlines()[-1].replace(":5", ": 5")
    await bench.host.stored.unload("m")
    assert bench.host.registry.all() == []
