"""What `models_file` says is what is served."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.waiting import until

from mms.errors import Conflict
from mms.serving import RegisterOptions
from mms.serving.watched import desired_models as module
from mms.serving.watched.desired_models import DesiredModels
from mms.serving.watched.desired_state import DesiredModel, DesiredState

SAYS = "def handle(data, context):\n    return data and ['{}'] * len(data)\n"
BROKEN = "raise RuntimeError('no such weights')\n"


def put(file: Path, text: str) -> None:
    """Write the file in one go, as one that has been at rest for long."""
    made = file.with_name("made")
    made.write_text(text)
    os.utime(made, (1, 1))
    made.rename(file)


class Following:
    """A host that looks at the file when the test says so."""

    def __init__(self, bench: Any, file: Path) -> None:
        self.bench, self.file = bench, file

    async def says(self, text: str) -> None:
        put(self.file, text)
        await self.look()

    async def look(self) -> None:
        await self.bench.host.watched.desired.look()
        await self.bench.host.watched.desired.settled()

    async def ready(self, name: str, version: str | None = None) -> None:
        host = self.bench.host
        await until(lambda: host.has_model(name, version) and host.is_ready(name, version))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.bench.host.list_models()]

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.bench.host.watched.desired.describe()
        return found

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        return [(r["modelName"], r["status"], r.get("reason", "")) for r in self.status["models"]]


@pytest.fixture
async def following(make_bench: Callable[..., Awaitable[Any]], tmp_path: Path) -> Following:
    file = tmp_path / "models.yaml"
    bench = await make_bench(
        models_file=str(file), models_file_interval_s=1000, default_workers_per_model=1
    )
    for name in ("one", "two"):
        bench.write(name, SAYS.format(name))
    await bench.host.load_startup_models()
    return Following(bench, file)


async def test_models_come_and_go_with_their_entries(following: Following) -> None:
    assert (following.status["status"], following.names) == ("FAILED", [])
    assert following.status["reason"] == "it cannot be read: No such file or directory"
    await following.says("models:\n- url: one\n- {url: two, batch_size: 4}\n")
    assert following.names == ["one", "two"]
    assert following.bench.described("two")["batchSize"] == 4
    for name in following.names:
        await following.ready(name)
        assert await following.bench.predict(name) == (200, name.encode())
    assert following.rows == [("one", "READY", ""), ("two", "READY", "")]
    await following.says("models:\n- {url: two, batch_size: 4}\n")
    assert following.names == ["two"]
    await following.says("models: []\n")
    assert (following.names, following.status["status"]) == ([], "APPLIED")


async def test_a_model_that_is_to_have_no_workers_is_as_it_is_wanted_without_them(
    following: Following,
) -> None:
    await following.says("models: [{url: one, initial_workers: 0}]")
    assert following.rows == [("one", "READY", "")]


async def test_a_changed_entry_takes_the_place_of_its_model_and_only_the_number_of_workers_replaces_none(
    following: Following,
) -> None:
    await following.says("models: [{url: one, model_name: m, initial_workers: 1}]")
    await following.ready("m")
    [pid] = following.bench.pids("m")
    await following.says("models: [{url: one, model_name: m, initial_workers: 2}]")
    assert pid in following.bench.pids("m")
    assert len(following.bench.pids("m")) == 2
    await following.says("models: [{url: two, model_name: m, initial_workers: 1}]")
    assert await following.bench.predict("m") == (200, b"two")
    assert pid not in following.bench.pids("m")


async def test_a_file_that_cannot_be_changes_nothing_and_says_why(following: Following) -> None:
    good = "models: [{url: one}]"
    await following.says(good)
    await following.says("models: [{url: two}, {url: one, batch_size: many}]")
    assert following.names == ["one"]
    assert following.status["status"] == "FAILED"
    assert following.status["reason"].startswith("model 2: Parameter batch_size must be")
    following.file.unlink()
    os.mkfifo(following.file)
    await following.look()
    assert following.status["reason"] == "it cannot be read: it is no file"
    following.file.unlink()
    await following.look()
    assert following.names == ["one"]
    await following.says(good)
    assert (following.status["status"], following.names) == ("APPLIED", ["one"])


async def test_what_cannot_load_is_told_its_former_model_stays_and_it_is_tried_again(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.serving.watched.desired_models._FIRST_RETRY_S", 0.0)
    following.bench.write("broken", BROKEN)
    await following.says("models: [{url: one, model_name: m}, {url: late}]")
    await following.ready("m")
    await following.says("models: [{url: broken, model_name: m}, {url: late}]")
    [(_, status, reason), (_, absent, why)] = following.rows
    assert (status, absent) == ("FAILED", "FAILED")
    assert "no such weights" in reason and "Model not found in model store: late" in why
    assert following.status["models"][0]["isServing"] is True
    assert await following.bench.predict("m") == (200, b"one")
    following.bench.write("late", SAYS.format("late"))
    await following.look()
    await following.ready("late")
    assert following.rows[1] == ("late", "READY", "")


async def test_what_failed_together_is_not_tried_again_together(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 100.0, time=time.time))
    urls = ", ".join(f"{{url: late{number}}}" for number in range(12))
    await following.says(f"models: [{urls}]")
    tried_at = [tracked.retry_at for tracked in following.bench.host.watched.desired._tracked]
    assert all(105 <= at <= 107.5 for at in tried_at)
    assert len(set(tried_at)) == 12


async def test_a_model_that_a_client_unregisters_comes_back(following: Following) -> None:
    await following.says("models: [{url: one}]")
    await following.bench.host.unregister("one")
    await following.look()
    await following.ready("one")
    assert await following.bench.predict("one") == (200, b"one")


async def test_versions_stand_beside_each_other_and_the_default_is_the_one_that_is_named(
    following: Following,
) -> None:
    for version in ("1.0", "2.0"):
        following.bench.write("v", SAYS.format(version), version)
    both = "models: [{url: v-1.0, model_name: v}, {url: v-2.0, model_name: v}]"
    await following.says(both)
    for version in ("1.0", "2.0"):
        await following.ready("v", version)
    await following.look()
    assert following.bench.host.version_of("v") == "1.0"
    await following.says(f"{both}\ndefaults: {{v: '2.0'}}")
    assert following.bench.host.version_of("v") == "2.0"
    await following.says("models: [{url: v-2.0, model_name: v}]\ndefaults: {v: '2.0'}")
    assert [row["modelVersion"] for row in following.status["models"]] == ["2.0"]
    assert not following.bench.host.has_model("v", "1.0")


async def test_models_of_others_are_left_alone(following: Following) -> None:
    await following.bench.host.register(RegisterOptions.of_members({"url": "two"}))
    await following.says("models: [{url: one}]")
    await following.says("models: []")
    assert following.names == ["two"]
    await following.says("models: [{url: one, model_name: two}]")
    assert following.rows == [("two", "FAILED", "Model two is already registered.")]


async def test_a_file_that_is_being_written_is_looked_at_twice(following: Following) -> None:
    following.file.write_text("models: [{url: one}]")
    await following.look()
    assert following.names == []
    following.file.write_text("models: [{url: two}]")
    await following.look()
    assert following.names == []
    await following.look()
    assert following.names == ["two"]


async def test_the_folder_of_a_config_map_changes_under_its_link(
    following: Following, tmp_path: Path
) -> None:
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        put(folder / "models.yaml", f"models: [{{url: {name}}}]")
    (tmp_path / "..data").symlink_to("..0")
    following.file.symlink_to("..data/models.yaml")
    await following.look()
    assert following.names == ["one"]
    (tmp_path / "next").symlink_to("..1")
    (tmp_path / "next").rename(tmp_path / "..data")
    await following.look()
    assert following.names == ["two"]


async def test_an_entry_is_compared_with_those_of_its_name_alone_however_many_have_changed(
    tmp_path: Path,
) -> None:
    compared = 0

    class Counted(DesiredModel):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return super().__eq__(other)

        __hash__ = None  # type: ignore[assignment]

    def state(batch_size: int) -> DesiredState:
        names = [("v", f"v-{number}") for number in range(200)]
        names += [(f"m{number}", "m") for number in range(200)]
        return DesiredState(
            tuple(Counted(n, RegisterOptions(url=u, batch_size=batch_size)) for n, u in names)
        )

    desired = DesiredModels(tmp_path / "none", cast(Any, None), interval_s=1000, count=1)
    desired._follow(state(1))
    for models in (state(2).models, state(2).models[::-1]):
        desired._follow(DesiredState(models))
    desired.close()
    assert len(desired._tracked) == 400
    assert compared <= 2 * 400


async def test_an_entry_that_comes_back_before_its_model_could_go_is_that_model(
    tmp_path: Path,
) -> None:
    held: list[Any] = []

    class Swap:
        async def add(self, options: RegisterOptions, name: str, count: int) -> Any:
            held.append(SimpleNamespace(name=name, version="", full_name=name, is_ready=False))
            return held[-1]

        def holds(self, served: Any) -> bool:
            return served in held

        async def remove(self, served: Any) -> None:
            raise Conflict("Others ask it.")

    file = tmp_path / "models.yaml"
    desired = DesiredModels(file, cast(Any, Swap()), interval_s=1000, count=1)
    reasons = []
    for models in ("[{url: one}]", "[]", "[{url: one}]"):
        put(file, f"models: {models}")
        await desired.look()
        await desired.settled()
        reasons.append([each.reason for each in desired._tracked])
    desired.close()
    assert (reasons, len(held)) == ([[""], ["Others ask it."], [""]], 1)


async def test_a_file_that_never_comes_to_rest_is_told_and_one_that_was_not_read_yet_is_not_applied(
    tmp_path: Path,
) -> None:
    file = tmp_path / "models.yaml"
    desired = DesiredModels(file, cast(Any, None), interval_s=1000, count=1)
    assert desired.describe()["reason"] == "it has not been read yet"
    for number in range(10):
        file.write_text(f"models: []\n# {number}")
        await desired.look()
    told = desired.describe()
    assert (told["status"], told["reason"][:28]) == ("FAILED", "it changes all the time, and")
    await desired.look()
    assert desired.describe()["status"] == "APPLIED"


def test_the_first_version_in_the_file_stays_the_default_where_another_one_has_changed(
    tmp_path: Path,
) -> None:
    made: list[str] = []

    class Swap:
        def make_default(self, served: Any) -> None:
            made.append(served.version)

    def state(batch_size: int) -> DesiredState:
        first, second = (
            RegisterOptions(url="one"),
            RegisterOptions(url="two", batch_size=batch_size),
        )
        return DesiredState((DesiredModel("m", first), DesiredModel("m", second)))

    desired = DesiredModels(tmp_path / "none", cast(Any, Swap()), interval_s=1000, count=1)
    desired._act = lambda tracked: None  # type: ignore[method-assign]
    desired._follow(state(1))
    for tracked, version in zip(desired._tracked, "12", strict=True):
        tracked.served = cast(Any, SimpleNamespace(name="m", version=version, is_ready=True))
    desired._follow(state(2))
    assert made == ["1"]
