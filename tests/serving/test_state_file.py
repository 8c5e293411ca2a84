"""What is registered outlives the server: written after each change, made again at the next start."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from mms.errors import ConfigurationError, ModelNotFound, ServiceUnavailable, WorkerStartFailed
from mms.serving import RegisterOptions
from mms.serving.served import PooledModel
from mms.serving.state.state_file import StateFile

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
BROKEN = "def handle(data, context):\n    raise RuntimeError('no such weights')\n"


def entries(path: Path) -> list[dict[str, Any]]:
    """What the file holds."""
    return [entry for _, entry in StateFile(path).read().entries]


def by_name(path: Path) -> dict[str, dict[str, Any]]:
    return {entry["model"]: entry for entry in entries(path)}


@pytest.fixture
def restarted(make_bench, tmp_path):
    """Start hosts one after the other over one store and one state file."""
    state = tmp_path / "state"
    previous: list[Any] = []

    async def start(**settings: Any) -> Any:
        for bench in previous:
            await bench.stop()
            previous.remove(bench)
        usual = {"load_models": "", "default_workers_per_model": 1}
        bench = await make_bench(state_file=str(state), **{**usual, **settings})
        (tmp_path / "store").mkdir(exist_ok=True)
        bench.store.rmdir()
        bench.store.symlink_to(tmp_path / "store")
        await bench.host.load_startup_models()
        previous.append(bench)
        return bench

    start.state = state
    return start


# What is written


async def test_without_the_setting_nothing_is_written(bench):
    before = set(bench.folder.rglob("*"))
    await bench.register("m", OK, initial_workers=0)
    written = {path for path in set(bench.folder.rglob("*")) - before if path.is_file()}
    assert {path.parent.name for path in written} <= {"m", "MAR-INF"}


async def test_a_registration_is_in_the_file_when_it_is_answered(restarted):
    bench = await restarted()
    await bench.register("m", OK, version="1.0", batch_size=4, initial_workers=1)
    [entry] = entries(restarted.state)
    assert entry == {
        "model": "m",
        "version": "1.0",
        "min_workers": 1,
        "max_workers": 1,
        "is_default": True,
        "options": {"url": "m-1.0", "batch_size": 4},
    }


async def test_the_file_is_for_its_owner_alone(restarted):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    assert stat.S_IMODE(restarted.state.stat().st_mode) == 0o600


async def test_a_scale_is_in_the_file_when_it_is_answered(restarted):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    await bench.host.scale("m", None, 1, 2, False)
    assert (
        entries(restarted.state)[0]["min_workers"],
        entries(restarted.state)[0]["max_workers"],
    ) == (*(1, 2),)


async def test_a_change_is_in_the_file_when_it_is_answered_and_comes_back(restarted):
    bench = await restarted()
    await bench.register("m", OK, batch_size=4, initial_workers=1)
    changes = {"max_batch_delay_ms": 7, "retry": False}
    outcome = await bench.host.change("m", None, changes, synchronous=True)
    assert (outcome.status, outcome.text) == (200, 'Model "m" changed')
    [entry] = entries(restarted.state)
    assert entry["options"] == {"url": "m", "batch_size": 4, **changes}
    described = (await restarted()).described("m")
    assert (described["batchSize"], described["maxBatchDelay"], described["retry"]) == (4, 7, False)


async def test_an_unregistered_model_leaves_the_file(restarted):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    await bench.host.unregister("m")
    assert entries(restarted.state) == []


async def test_a_model_whose_workers_could_not_load_it_is_not_kept(restarted):
    bench = await restarted()
    with pytest.raises(WorkerStartFailed):
        await bench.register("m", BROKEN)
    await bench.register("n", OK, initial_workers=0)
    assert list(by_name(restarted.state)) == ["n"]


async def test_a_file_that_cannot_be_written_is_told_of_once_and_serving_goes_on(
    restarted, caplog, monkeypatch
):
    monkeypatch.setattr("mms.serving.state.registration_store._RETRY_S", 0.05)
    bench = await restarted()
    full = restarted.state
    full.unlink()
    full.symlink_to("/dev/full")
    with caplog.at_level(logging.INFO, "mms.serving"):
        await bench.register("m", OK, initial_workers=0)
        await bench.register("n", OK)
        assert await bench.predict("n") == (200, b"OK")
        told = "cannot be written: No space left on device"
        assert sum(told in line for line in caplog.messages) == 1
        full.unlink()
        await until(lambda: any("is written again" in line for line in caplog.messages))
    assert set(by_name(restarted.state)) == {"m", "n"}


async def test_the_end_of_the_server_removes_nothing_from_the_file(restarted):
    bench = await restarted()
    await bench.register("m", OK)
    await bench.host.drain(5)
    await bench.host.close()
    assert list(by_name(restarted.state)) == ["m"]


# What is restored


async def test_models_come_back_with_their_workers_and_parameters(restarted, caplog):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=2, batch_size=3, response_timeout_s=7.0)
    await bench.register("n", OK, initial_workers=0, max_batch_delay_ms=5)
    with caplog.at_level(logging.INFO, "mms.serving"):
        bench = await restarted()
    assert any("Restored model m with 2 to 2 workers (2 of 2)" in m for m in caplog.messages)
    await until(lambda: bench.host.is_ready("m"))
    assert await bench.predict("m") == (200, b"OK")
    described = bench.described("m")
    assert (described["minWorkers"], described["batchSize"]) == (2, 3)
    assert described["responseTimeout"] == 7.0
    idle = await bench.host.describe("n")
    assert (idle["maxBatchDelay"], idle["workers"]) == (5, [])


async def test_versions_come_back_with_their_default(restarted):
    bench = await restarted()
    await bench.register("m", OK, version="1", initial_workers=0)
    await bench.register("m", OK, version="2", initial_workers=0)
    await bench.host.set_default("m", "2")
    bench = await restarted()
    assert bench.described("m")["modelVersion"] == "2"
    assert bench.described("m", "1")["defaultVersion"] is False


async def test_a_model_that_is_gone_is_reported_and_kept_and_the_others_come_back(
    restarted, caplog
):
    bench = await restarted()
    await bench.register("m", OK)
    await bench.register("n", OK, initial_workers=0)
    lost = bench.store / "m"
    lost.rename(lost.with_name("away"))
    bench = await restarted()
    assert any(
        "Model m is not restored (2 of 2): Model not found in model store: m" in m
        for m in caplog.messages
    )
    assert [name for name, _ in bench.host.list_models()] == ["n"]
    lost.with_name("away").rename(lost)
    bench = await restarted()
    assert [name for name, _ in bench.host.list_models()] == ["m", "n"]


async def test_an_entry_that_was_not_restored_can_be_unregistered(restarted):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    (bench.store / "m").rename(bench.store / "away")
    bench = await restarted()
    assert (await bench.host.unregister("m")).status == 200
    assert entries(restarted.state) == []
    with pytest.raises(ModelNotFound):
        await bench.host.unregister("m")


@pytest.mark.parametrize(
    "line",
    [
        '{"model": "b", "version": nu',
        '{"model": 3, "options": {}}',
        '{"model": "b", "version": null, "min_workers": -1, "max_workers": 0, "options": {"url": "n"}}',
        '{"model": "b", "version": null, "min_workers": 0, "max_workers": 0, "options": {"colour": 1}}',
        '{"model": "b", "version": null, "min_workers": 0, "max_workers": 0, "options": [1]}',
        '["b"]',
        "\x00\x01",
    ],
)
async def test_a_broken_line_is_reported_set_aside_and_the_others_come_back(
    restarted, caplog, line
):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    await bench.register("n", OK, initial_workers=0)
    lines = restarted.state.read_text().splitlines()
    restarted.state.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    bench = await restarted()
    assert [name for name, _ in bench.host.list_models()] == ["m", "n"]
    assert any("line" in m and "3" in m for m in caplog.messages)
    assert len(restarted.state.with_name("state.broken").read_text().splitlines()) == 1
    assert set(by_name(restarted.state)) == {"m", "n"}


async def test_an_entry_with_values_of_wrong_types_is_skipped(restarted, caplog):
    bench = await restarted()
    await bench.register("m", OK)
    await bench.register("n", OK, initial_workers=0)
    text = restarted.state.read_text().replace('{"url":"m"', '{"batch_size":"many","url":"m"')
    restarted.state.write_text(text)
    bench = await restarted()
    assert [name for name, _ in bench.host.list_models()] == ["n"]
    assert any("Model m is not restored (2 of 2): TypeError" in m for m in caplog.messages)


async def test_a_model_of_load_models_comes_back_as_it_was_scaled(restarted):
    bench = await restarted()
    bench.write("m", OK)
    bench = await restarted(load_models="m")
    await bench.host.scale("m", None, 0, 0, True)
    bench = await restarted(load_models="m")
    assert bench.described("m")["minWorkers"] == 0
    assert bench.host.default_model_name() == "m"


async def test_a_model_that_load_models_names_no_more_is_forgotten(restarted, caplog):
    bench = await restarted()
    bench.write("m", OK)
    await restarted(load_models="m")
    with caplog.at_level(logging.INFO, "mms.serving"):
        bench = await restarted()
    assert bench.host.list_models() == []
    assert any("load_models does not name it any more" in m for m in caplog.messages)


async def test_a_graph_comes_back_after_its_nodes(restarted):
    bench = await restarted()
    for name in ("z", "a"):
        await bench.register(name, OK, initial_workers=0)
    document = {"name": "z", "type": "MODEL", "children": [{"name": "a", "type": "MODEL"}]}
    (bench.store / "g.json").write_text(json.dumps({"name": "main", "graph": document}))
    await bench.host.register(RegisterOptions("g.json", model_name="b"))
    bench = await restarted()
    assert [name for name, _ in bench.host.list_models()] == ["a", "b", "z"]
    assert bench.host.users_of("z") == ["b"]


async def test_a_function_comes_back_with_its_models_as_they_were_scaled(restarted):
    bench = await restarted()
    code = (
        "from mlrun.serving import V2ModelServer\n"
        "class M(V2ModelServer):\n"
        "    def load(self):\n        pass\n"
        "    def predict(self, request):\n        return request['inputs']\n"
    )
    routes = {
        name: {"class_name": "M", "class_args": {"model_path": ""}} for name in ("m1", "m2:v1")
    }
    spec = {
        "function_uri": "default/f",
        "version": "v2",
        "graph": {"kind": "router", "routes": routes},
        "filename": "classes.py",
        "code": code,
    }
    await bench.host.register(
        RegisterOptions.of_members({"serving_spec": spec, "initial_workers": 1})
    )
    await bench.host.scale("m2", "v1", 0, 0, True)
    bench = await restarted()
    assert [name for name, _ in bench.host.list_models()] == ["f", "m1", "m2"]
    assert bench.described("m1")["minWorkers"] == 1
    assert bench.described("m2", "v1")["minWorkers"] == 0
    await bench.host.unregister("f")
    assert entries(restarted.state) == []


# Models without workers


@pytest.fixture
async def idle(restarted):
    """A host that has found a model without workers, which may have one, in the state file."""
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    await bench.host.scale("m", None, 0, 1, False)
    bench = await restarted()
    return bench


def is_made(bench: Any) -> bool:
    return isinstance(bench.host.registry.get("m"), PooledModel)


async def test_the_archive_of_a_model_without_workers_is_read_when_the_model_is_described(idle):
    assert idle.host.list_models() == [("m", "m")]
    assert not is_made(idle)
    described = await idle.host.describe("m")
    assert is_made(idle)
    assert (described["handler"], described["maxWorkers"]) == ("service:handle", 1)
    assert described["loadedAtStartup"] is True


async def test_a_model_that_nobody_has_asked_for_is_kept_for_the_next_start(idle, restarted):
    kept = entries(restarted.state)
    await idle.host.set_default("m", None)
    assert entries(restarted.state) == kept


async def test_a_model_that_nobody_has_asked_for_can_be_scaled(idle):
    outcome = await idle.host.scale("m", None, 1, 1, True)
    assert outcome.status == 200
    assert await idle.predict("m") == (200, b"OK")


async def test_a_model_that_nobody_has_asked_for_can_be_unregistered(idle, restarted):
    await idle.host.unregister("m")
    assert entries(restarted.state) == []
    assert idle.host.list_models() == []


async def test_many_who_ask_for_a_model_at_once_have_it_made_once(idle):
    found = await asyncio.gather(*(idle.host.describe("m") for _ in range(20)))
    assert len({each["modelName"] for each in found}) == 1
    assert idle.repository.statistics()["fetched"] == 1


async def test_a_model_whose_archive_is_gone_says_so_when_it_is_asked_for(idle):
    shutil.rmtree(idle.store / "m")
    with pytest.raises(ModelNotFound, match="m"):
        await idle.host.describe("m")
    with pytest.raises(ServiceUnavailable, match="could not be made ready"):
        await idle.predict("m")
    assert idle.host.list_models() == [("m", "m")]


async def test_a_model_that_no_request_may_load_is_refused_without_its_archive(restarted):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    bench = await restarted()
    with pytest.raises(ServiceUnavailable, match="It has 0 workers"):
        await bench.predict("m")
    assert not is_made(bench)


# The file itself


def test_a_file_that_another_server_uses_is_refused(tmp_path: Path) -> None:
    first, second = StateFile(tmp_path / "state"), StateFile(tmp_path / "state")
    first.lock()
    with pytest.raises(ConfigurationError, match="is used by another server that runs"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_file_of_a_later_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text('{"format": "multi-model-server state", "format_version": 9}\n')
    with pytest.raises(ConfigurationError, match="version 9; this server reads"):
        StateFile(path).read()


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        StateFile(tmp_path / "state").read()


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StateFile(tmp_path / "state")
    file.change({"m": [{"model": "m"}]})

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        file.change({"n": [{"model": "n"}]})
    assert [entry for _, entry in file.read().entries] == [{"model": "m"}]


def test_a_change_replaces_all_that_was_kept_of_a_name_and_nothing_else(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    file.change({"m": [{"model": "m", "version": "1"}, {"model": "m"}], "n": [{"model": "n"}]})
    file.change({"m": [{"model": "m", "version": "2"}]})
    file.change({"o": []})
    kept = [entry for _, entry in StateFile(tmp_path / "state").read().entries]
    assert kept == [{"model": "n"}, {"model": "m", "version": "2"}]


def test_a_change_costs_the_lines_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "state"
    file = StateFile(path)
    file.change({f"m{number}": [{"model": f"m{number}"}] for number in range(1000)})
    before = path.stat().st_size
    file.change({"m7": [{"model": "m7"}]})
    assert path.stat().st_size - before == len('{"forget":"m7"}\n{"model":"m7"}\n')


def test_what_is_not_needed_any_more_leaves_the_file_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.serving.state.state_file._SPARE_BYTES", 1000)
    path = tmp_path / "state"
    file = StateFile(path)
    for number in range(200):
        file.change({"m": [{"model": "m", "number": number}]})
        assert path.stat().st_size < 1500
    assert [entry for _, entry in file.read().entries] == [{"model": "m", "number": 199}]


async def test_no_more_workers_come_back_than_a_model_may_have(restarted, caplog):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    state = restarted.state
    text = state.read_text().replace('"min_workers":0', f'"min_workers":{10**20}')
    await bench.stop()
    state.write_text(text.replace('"max_workers":0', f'"max_workers":{10**20}'))
    bench = await restarted(max_workers_per_model=1)
    (served,) = bench.host.registry.all()
    assert len(served.pool.active) == 1
    assert (
        f"Model m has 1 workers instead of {10**20}, because max_workers_per_model is the limit."
        in caplog.text
    )


async def test_a_file_that_somebody_removes_has_all_models_again_with_the_next_change(restarted):
    bench = await restarted()
    await bench.register("m", OK, initial_workers=0)
    restarted.state.unlink()
    await bench.register("n", OK, initial_workers=0)
    assert sorted(by_name(restarted.state)) == ["m", "n"]
