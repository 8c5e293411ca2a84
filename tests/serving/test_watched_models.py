"""What lies in the folder that `models_dir` names is what is served."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from mms.errors import BadRequest
from mms.serving import RegisterOptions
from mms.serving.served import ServedModel
from mms.serving.watched import ModelSwap
from mms.serving.watched.folder import scan

SAYS = "def handle(data, context):\n    return data and ['{}'] * len(data)\n"
BROKEN = "raise RuntimeError('no such weights')\n"
FAILING = "def handle(data, context):\n    if data:\n        raise KeyError('x')\n"
SLOW = """
import time
def handle(data, context):
    if data:
        time.sleep(0.3)
        return ['slow'] * len(data)
"""


def put(folder: Path, code: str, name: str = "m", **files: str) -> None:
    """Put a model into the folder in one go, older than any interval."""
    made = folder.with_name("made")
    (made / "MAR-INF").mkdir(parents=True)
    (made / "service.py").write_text(code)
    manifest = {"runtime": "python", "model": {"modelName": name, "handler": "service:handle"}}
    (made / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    for file, text in files.items():
        (made / file.replace("__", ".")).write_text(text)
    for place in (made, *made.rglob("*")):
        os.utime(place, (1, len(code) + len(files)))
    former = folder.with_name("former")
    if (folder / name).exists():
        (folder / name).rename(former)
    made.rename(folder / name)
    shutil.rmtree(former, ignore_errors=True)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    found = tmp_path / "followed"
    found.mkdir()
    return found


@pytest.fixture
async def watched(
    make_bench: Callable[..., Awaitable[Any]], folder: Path
) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    async def start() -> Any:
        bench = await make_bench(
            models_dir=str(folder), models_dir_interval_s=0.05, default_workers_per_model=1
        )
        await bench.host.load_startup_models()
        return bench

    yield start


@pytest.fixture
async def asked_to_look(make_bench: Callable[..., Awaitable[Any]], folder: Path) -> Any:
    """A host that looks at the folder when the test says so."""
    bench = await make_bench(
        models_dir=str(folder), models_dir_interval_s=1000, default_workers_per_model=1
    )
    await bench.host.load_startup_models()
    return bench


async def look(bench: Any) -> None:
    await bench.host.watched.folder.look()
    await bench.host.watched.folder.settled()


async def says(bench: Any, text: str) -> None:
    """Wait for an answer of a model that is loaded."""
    await until(lambda: bench.host.has_model("m") and bench.host.is_ready("m"))
    for _ in range(200):
        status, body = await bench.predict("m")
        if (status, body) == (200, text.encode()):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the answer is {body!r}, not {text!r}")


async def test_what_lies_there_at_the_start_is_loaded_at_the_start(watched, folder):
    put(folder, SAYS.format("one"))
    bench = await watched()
    assert [name for name, _ in bench.host.list_models()] == ["m"]
    assert bench.described("m")["loadedAtStartup"] is True
    await says(bench, "one")


async def test_what_appears_is_loaded(watched, folder):
    bench = await watched()
    assert bench.host.list_models() == []
    put(folder, SAYS.format("one"))
    await until(lambda: bench.host.has_model("m"))
    await says(bench, "one")


async def test_what_goes_is_unregistered(watched, folder):
    put(folder, SAYS.format("one"))
    bench = await watched()
    await says(bench, "one")
    shutil.rmtree(folder / "m")
    await until(lambda: not bench.host.has_model("m"))


async def test_a_renamed_archive_keeps_its_model_and_no_request_fails(watched, folder, caplog):
    put(folder, SAYS.format("one"))
    bench = await watched()
    await says(bench, "one")
    (folder / "m").rename(folder / "renamed")
    while not bench.described("m")["modelUrl"].endswith("/renamed"):
        assert await bench.predict("m") == (200, b"one")
    assert await bench.predict("m") == (200, b"one")
    assert not any("is not served" in line for line in caplog.messages)
    (folder / "renamed").rename(folder / "m")
    await until(lambda: bench.described("m")["modelUrl"].endswith("/m"))


async def test_an_archive_that_is_renamed_again_while_its_former_model_finishes_keeps_its_model(
    asked_to_look: Any, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = asked_to_look
    put(folder, hung(tmp_path))
    await look(bench)
    await until(lambda: bench.host.is_ready("m"))
    running = asyncio.ensure_future(bench.predict("m"))
    await until(lambda: any(each.in_flight for each in bench.host.registry.get("m").workers))
    (folder / "m").rename(folder / "renamed")
    await bench.host.watched.folder.look()
    await until(lambda: bench.described("m")["modelUrl"].endswith("/renamed"))
    assert bench.host.watched.folder._followed["renamed"].task is not None
    (folder / "renamed").rename(folder / "m")
    for _ in range(3):
        await bench.host.watched.folder.look()
    (tmp_path / "go").touch()
    await bench.host.watched.folder.settled()
    assert await running == (200, b"hung")
    assert bench.described("m")["modelUrl"].endswith("/m")
    assert not any("is not served" in line for line in caplog.messages)


def test_a_folder_that_is_moved_while_it_is_looked_at_is_not_seen_half(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, SAYS.format("one"))
    before = scan(folder)["m"]
    walk = os.walk

    def move_and_walk(place: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        (folder / "m").rename(folder / "renamed")
        return walk(place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "walk", move_and_walk)
        assert scan(folder) == {}
    assert scan(folder) == {"renamed": before}


async def test_what_changes_takes_the_place_of_its_model_and_no_request_fails(watched, folder):
    put(folder, SAYS.format("one"))
    bench = await watched()
    await says(bench, "one")
    found: list[tuple[int, bytes]] = []
    is_over = False

    async def ask() -> None:
        while not is_over:
            found.append(await bench.predict("m"))

    asking = asyncio.ensure_future(ask())
    put(folder, SAYS.format("other"))
    await until(lambda: bool(found) and found[-1] == (200, b"other"))
    is_over = True
    await asking
    assert {status for status, _ in found} == {200}


async def test_a_request_that_runs_is_answered_by_the_model_that_it_was_sent_to(watched, folder):
    put(folder, SLOW)
    bench = await watched()
    await until(lambda: bench.host.is_ready("m"))
    former = bench.host.registry.get("m")
    put(folder, SAYS.format("other"))
    running = None
    while bench.host.registry.get("m") is former:
        running = asyncio.ensure_future(bench.predict("m"))
        await asyncio.sleep(0.02)
    assert running is not None
    assert await running in ((200, b"slow"), (200, b"other"))
    await says(bench, "other")


@pytest.mark.parametrize(
    ("code", "files", "reason"),
    [
        (BROKEN, {}, "no such weights"),
        (FAILING, {"sample_request__json": "{}"}, "sample_request.json is answered by 503"),
    ],
    ids=["it does not load", "it does not answer its sample"],
)
async def test_a_change_that_does_not_work_leaves_the_model_as_it_was(
    watched, folder, caplog, code, files, reason
):
    put(folder, SAYS.format("one"))
    bench = await watched()
    await says(bench, "one")
    with caplog.at_level(logging.INFO, "mms.serving"):
        put(folder, code, **files)
        await until(lambda: any("is not served" in line for line in caplog.messages))
    assert any(reason in line and "stays as it was" in line for line in caplog.messages)
    assert await bench.predict("m") == (200, b"one")


async def test_a_model_that_answers_its_sample_takes_the_place(watched, folder):
    put(folder, SAYS.format("one"))
    bench = await watched()
    await says(bench, "one")
    put(folder, SAYS.format("other"), sample_request__json="{}")
    await says(bench, "other")


def hung(folder: Path) -> str:
    """A model whose requests end once there is a file `go` in the folder; they make one that is called `asked`."""
    return f"""
import pathlib, time
folder = pathlib.Path({str(folder)!r})
def handle(data, context):
    if data:
        (folder / 'asked').touch()
    while data and not (folder / 'go').exists():
        time.sleep(0.01)
    return data and ['hung'] * len(data)
"""


async def test_a_model_that_does_not_answer_its_sample_holds_up_no_other_and_not_its_successor(
    asked_to_look: Any, folder: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bench = asked_to_look
    followed = bench.host.watched.folder

    async def look_at_what_stays() -> None:
        """A change is acted upon by the second look that finds it the same."""
        for _ in range(2):
            await followed.look()

    put(folder, SAYS.format("one"))
    await look(bench)
    await says(bench, "one")
    with caplog.at_level(logging.INFO, "mms.serving"):
        put(folder, hung(tmp_path), sample_request__json="{}")
        await look_at_what_stays()
        await until((tmp_path / "asked").exists)
        put(folder, SAYS.format("beside"), name="other")
        await look_at_what_stays()
        await until(lambda: bench.host.has_model("other"))
        assert await bench.predict("m") == (200, b"one")
        put(folder, SAYS.format("third"))
        await look_at_what_stays()
        await says(bench, "third")
    assert any("m has changed again before it was loaded and tried" in m for m in caplog.messages)
    assert {name for name, _ in bench.host.list_models()} == {"m", "other"}


async def test_a_folder_that_goes_while_its_new_model_is_tried_takes_the_model_with_it(
    watched, folder, tmp_path
):
    put(folder, SAYS.format("one"))
    bench = await watched()
    await says(bench, "one")
    put(folder, hung(tmp_path), sample_request__json="{}")
    await until(lambda: bench.host.watched.folder._followed["m"].task is not None)
    shutil.rmtree(folder / "m")
    await until(lambda: not bench.host.has_model("m"))
    await until(lambda: not bench.host.watched.folder._followed)


async def test_what_is_still_being_written_is_left_alone(asked_to_look: Any, folder: Path) -> None:
    bench = asked_to_look
    put(folder, SAYS.format("one"))
    for text in ("x", "xx", "xxx"):
        (folder / "m" / "weights").write_text(text)
        await look(bench)
        assert bench.host.list_models() == []
    await look(bench)
    await says(bench, "one")


async def test_a_model_that_somebody_has_unregistered_comes_back_with_the_next_change(
    watched, folder
):
    put(folder, SAYS.format("one"))
    bench = await watched()
    await bench.host.unregister("m")
    put(folder, SAYS.format("other"))
    await until(lambda: bench.host.has_model("m"))
    await says(bench, "other")


async def test_a_folder_that_cannot_be_read_leaves_its_models(watched, folder, caplog):
    put(folder, SAYS.format("one"))
    bench = await watched()
    folder.rename(folder.with_name("away"))
    await until(lambda: any("cannot be read" in line for line in caplog.messages))
    assert bench.host.has_model("m")
    folder.with_name("away").rename(folder)
    await until(lambda: bench.host.is_ready("m"))


async def test_what_is_no_archive_keeps_no_other_one_from_being_served(watched, folder, caplog):
    put(folder, SAYS.format("one"))
    os.symlink("loop.mar", folder / "loop.mar")
    os.symlink("nowhere", folder / "m" / "dangling")
    os.mkfifo(folder / "pipe.mar")
    (folder / os.fsdecode(b"bad\xff.mar")).touch()
    bench = await watched()
    await says(bench, "one")
    await until(lambda: "is not printable UTF-8" in caplog.text)


async def test_an_archive_whose_name_was_taken_is_served_once_the_other_one_is_gone(
    watched, folder
):
    put(folder, SAYS.format("first"))
    (folder / "m").rename(folder / "a")
    put(folder, SAYS.format("second"))
    bench = await watched()
    taken, left = (
        ("a", "second") if bench.described("m")["modelUrl"].endswith("/a") else ("m", "first")
    )
    shutil.rmtree(folder / taken)
    await says(bench, left)


async def test_a_change_of_its_name_leaves_a_model_that_others_ask(
    asked_to_look: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = asked_to_look
    put(folder, SAYS.format("one"))
    await look(bench)
    await look(bench)
    await says(bench, "one")
    bench.host.registry.get("m").owner = "function"
    put(folder, SAYS.format("other"))
    manifest = folder / "m" / "MAR-INF" / "MANIFEST.json"
    manifest.write_text(manifest.read_text().replace('"modelName": "m"', '"modelName": "renamed"'))
    await look(bench)
    await look(bench)
    assert any("belongs to the function" in line for line in caplog.messages)
    assert [name for name, _ in bench.host.list_models()] == ["m"]
    assert await bench.predict("m") == (200, b"one")


# A model that is being written

HANGS = """
import pathlib, time
while not pathlib.Path({go!r}).exists():
    time.sleep(0.01)
""" + SAYS.format("hung")
WRITES = """
import os, pathlib, time
(pathlib.Path({folder!r}) / "seen.json").write_text(str(time.time_ns()))
""" + SAYS.format("{says}")


@pytest.fixture
async def followed(make_bench: Any, folder: Path) -> AsyncIterator[Any]:
    """A host, and what has it follow the folder of a model."""
    bench = await make_bench()
    tasks = []

    def follow() -> None:
        url, path = f"file://{folder}/m", folder / "m"
        options = RegisterOptions(url, initial_workers=1, is_from_operator=True)
        tasks.append(asyncio.ensure_future(bench.host.follow(options, path)))

    bench.follow = follow
    yield bench
    bench.host.watched.close()


async def test_a_save_takes_the_place_of_a_load_that_hangs_also_of_the_first_one(
    followed: Any, folder: Path, tmp_path: Path
) -> None:
    put(folder, HANGS.format(go=str(tmp_path / "go")))
    followed.follow()
    await until(lambda: followed.host.has_model("m"))
    code = folder / "m" / "service.py"
    for word in ("one", "two"):
        code.write_text(SAYS.format(word))
        await until(lambda: followed.host.has_model("m"))
        await says(followed, word)
        code.write_text(HANGS.format(go=str(tmp_path / "go")))
        await until(lambda: followed.host.watched._alone[0]._changes.task is not None)


async def test_a_model_that_writes_into_its_folder_at_each_load_is_loaded_twice_and_not_for_ever(
    followed: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, WRITES.format(folder=str(folder / "m"), says="one"))
    followed.follow()
    await until(lambda: "seems to write it itself" in caplog.text, "it is told", 20)
    alone = followed.host.watched._alone[0]
    await until(lambda: alone._changes.task is None)
    await alone._look()
    await alone._look()
    assert alone._changes.task is None
    await says(followed, "one")


async def test_a_model_that_is_unregistered_while_its_successor_fails_is_told_of_as_gone(
    asked_to_look: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = asked_to_look
    put(folder, SAYS.format("one"))
    for _ in range(2):
        await look(bench)
    await says(bench, "one")

    async def replace(swap: ModelSwap, old: ServedModel, *_: object, **__: object) -> None:
        await bench.host.unregister(old.name)
        raise BadRequest("no manifest")

    monkeypatch.setattr(ModelSwap, "replace", replace)
    put(folder, SAYS.format("a longer one"))
    for _ in range(2):
        await look(bench)
    assert not bench.host.has_model("m")
    [line] = [each for each in caplog.messages if "is not served" in each]
    assert line.startswith("models_dir: m is not served: no manifest")
    assert line.endswith(" Model m is gone.")
