"""The steps of a registration: what a failing one leaves behind, and what a model gives back when it goes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mms.errors import BadRequest, ModelNotFound, NameTaken
from mms.repository.download import FetchProgress
from mms.serving import RegisterOptions
from mms.serving.registration.pipeline import Registration, Step, run_steps


class Played(Step):
    """A step that notes what happens to it."""

    def __init__(
        self, name: str, happened: list[str], *, is_lasting: bool = False, fails: bool = False
    ) -> None:
        self.name = name
        self.is_lasting = is_lasting
        self._happened = happened
        self._fails = fails

    async def run(self, registration: Registration) -> None:
        if self._fails:
            raise BadRequest(self.name)
        self._happened.append(self.name)
        registration.served = SimpleNamespace()  # type: ignore[assignment]

    async def undo(self, registration: Registration) -> None:
        self._happened.append(f"{self.name} undone")


async def test_a_step_that_fails_has_those_before_it_undone_the_last_one_first() -> None:
    happened: list[str] = []
    steps = [
        Played("archive", happened, is_lasting=True),
        Played("parts", happened),
        Played("files", happened, fails=True),
        Played("registry", happened),
    ]
    with pytest.raises(BadRequest, match="files"):
        await run_steps(steps, Registration(RegisterOptions("m.mar"), None))
    assert happened == ["archive", "parts", "parts undone", "archive undone"]


async def test_what_lasts_is_undone_when_the_model_goes_and_nothing_else_is() -> None:
    happened: list[str] = []
    steps = [
        Played("archive", happened, is_lasting=True),
        Played("parts", happened),
        Played("files", happened, is_lasting=True),
    ]
    registration = Registration(RegisterOptions("m.mar"), None)
    await run_steps(steps, registration)
    assert happened == ["archive", "parts", "files"]
    served: Any = registration.served
    assert served.release is not None
    await served.release()
    assert happened[3:] == ["files undone", "archive undone"]


async def test_a_function_whose_second_model_has_a_taken_name_leaves_none_of_its_models(
    bench: Any,
) -> None:
    code = (
        "import mlrun\n"
        "class Model(mlrun.serving.V2ModelServer):\n"
        "    def load(self): pass\n"
        "    def predict(self, request): return [1]\n"
    )
    routes = {"first": {"class_name": "Model"}, "taken": {"class_name": "Model"}}
    spec = {"graph": {"kind": "router", "routes": routes}, "code": code, "filename": "f.py"}
    await bench.register("taken", "def handle(data, context): return data")
    before = bench.host.list_models()
    options = {"model_name": "f", "serving_spec": spec, "initial_workers": 0}
    with pytest.raises(NameTaken, match="taken"):
        await bench.host.register(RegisterOptions.of_members(options))
    assert bench.host.list_models() == before


async def test_whoever_describes_a_model_too_early_is_told_how_far_its_registration_is(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("m", "def handle(data, context):\n    return data and ['OK'] * len(data)\n")
    fetch, progress = bench.repository.fetch, FetchProgress()
    is_fetching, may_go = asyncio.Event(), asyncio.Event()

    async def slow(url: str, *, watch: Any, **more: Any) -> Any:
        watch(progress)
        is_fetching.set()
        await may_go.wait()
        return await fetch(url, **more)

    monkeypatch.setattr(bench.repository, "fetch", slow)
    registering = asyncio.ensure_future(bench.host.register(RegisterOptions("m")))
    await asyncio.wait_for(is_fetching.wait(), 10)
    progress.done_bytes, progress.total_bytes = 12_300_000, 45_600_000
    for describe in (bench.host.describe, bench.host.describe_all):
        with pytest.raises(ModelNotFound) as error:
            await describe("m")
        assert error.value.message == (
            "Model not found: m. It is being registered: 12.3 of 45.6 MB are fetched."
        )
    with pytest.raises(ModelNotFound, match="^Model not found: other$"):
        await bench.host.describe("other")
    may_go.set()
    await registering
    assert (await bench.host.describe("m"))["modelName"] == "m"
