"""Models that have no workers until a request needs one."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.replies import AwaitedReply, make_request
from support.waiting import until

from mms.errors import RequestTimeout, ServiceUnavailable, UnexpectedError
from mms.serving import RegisterOptions

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
#: Leaves a file for each load.
COUNTED = """
import os, pathlib
(pathlib.Path({folder!r}) / f"load-{{os.getpid()}}").touch()
"""
#: Loads once the folder has the file `go`.
HELD = """
import pathlib, time
def handle(data, context):
    folder = pathlib.Path({folder!r})
    while not (folder / "go").exists():
        time.sleep(0.005)
    return data and ['OK'] * len(data)
"""
BROKEN = "raise RuntimeError('no such weights')\n"


def loads(folder: Path) -> int:
    return len(list(folder.glob("load-*")))


def counted(folder: Path, code: str = OK) -> str:
    return COUNTED.format(folder=str(folder)) + code


def held(folder: Path) -> str:
    return HELD.format(folder=str(folder))


def failed(bench: Any, name: str, **more: Any) -> asyncio.Future[Any]:
    """The outcome of a request, which raises its error."""
    reply = AwaitedReply(raises=True)
    bench.host.submit(make_request(name, reply, **more))
    return reply.done


async def refusal(bench: Any, name: str) -> ServiceUnavailable:
    """Why a request is refused, at once or once it has waited."""
    with pytest.raises(ServiceUnavailable) as error:
        await asyncio.wait_for(failed(bench, name), 20)
    return error.value


async def test_a_lazy_model_has_no_workers_before_its_first_request(bench: Any) -> None:
    outcome = await bench.register("m", OK, lazy_load=True, initial_workers=2)
    assert (outcome.status, outcome.text) == (200, 'Model "m" registered')
    described = bench.described("m")
    assert (described["minWorkers"], described["maxWorkers"], described["workers"]) == (0, 2, [])
    assert described["lazyLoad"] is True
    assert await bench.predict("m") == (200, b"OK")
    # As many as were asked for.
    assert len(bench.described("m")["workers"]) == 2


async def test_a_load_tells_what_it_has_spent_its_time_on(bench: Any, caplog: Any) -> None:
    caplog.set_level("INFO")
    code = "import time\ntime.sleep(0.05)\n" + OK
    await bench.register("m", code, lazy_load=True)
    assert await bench.predict("m") == (200, b"OK")
    worker = bench.described("m")["workers"][0]
    times = worker["loadTimes"]
    assert times["import"] >= 0.05
    assert "load" in times and "progress" not in worker
    assert set(times) <= {"turn", "process", "import", "load"}
    assert "W-m-0 has loaded model m in" in caplog.text


async def test_a_load_that_takes_long_tells_what_it_is_doing(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("mms.serving.workers.load_stages._TELL_S", 0.02)
    caplog.set_level("INFO")
    imports = f"""
import pathlib, time
folder = pathlib.Path({str(tmp_path)!r})
while not (folder / "imported").exists():
    time.sleep(0.005)
"""
    await bench.register("m", imports + held(tmp_path), lazy_load=True)
    _, reply = bench.submit("m")

    def stage() -> str:
        workers = bench.described("m")["workers"]
        return workers[0].get("progress", {}).get("stage", "") if workers else ""

    await until(lambda: stage() == "import")
    await until(
        lambda: "W-m-0 of model m: imports the model's code for 0 seconds, a load" in caplog.text
    )
    (tmp_path / "imported").touch()
    await until(lambda: stage() == "load")
    (tmp_path / "go").touch()
    assert await asyncio.wait_for(reply.done, 20) == (200, b"OK")
    assert stage() == ""


async def test_many_requests_at_once_share_one_load(bench: Any, tmp_path: Path) -> None:
    await bench.register("m", counted(tmp_path), lazy_load=True)
    answers = await asyncio.gather(*(bench.predict("m") for _ in range(50)))
    assert set(answers) == {(200, b"OK")}
    assert loads(tmp_path) == 1


async def test_a_room_check_before_a_large_body_is_read_starts_the_load(bench: Any) -> None:
    await bench.register("m", OK, lazy_load=True)
    bench.host.check_room("m")
    assert len(bench.described("m")["workers"]) == 1


async def test_a_failed_load_is_not_tried_again_by_each_request(bench: Any, tmp_path: Path) -> None:
    await bench.register("m", counted(tmp_path, BROKEN), lazy_load=True, initial_workers=2)
    first = await refusal(bench, "m")
    assert "no such weights" in str(first.message)
    assert first.retry_after_s == 1
    tried = loads(tmp_path)
    for _ in range(20):
        again = await refusal(bench, "m")
        assert "no such weights" in str(again.message)
        assert (again.retry_after_s or 0) >= 1
    assert loads(tmp_path) == tried
    assert not bench.host.is_ready("m")
    assert "no such weights" in bench.host.problems_of("m")[0]
    assert "no such weights" in bench.described("m")["loadError"]
    # It goes on with the first request after the wait.
    await until(lambda: bench.host.is_ready("m"), "the wait is over", 5)
    assert loads(tmp_path) == tried
    assert (await refusal(bench, "m")).retry_after_s == 1
    assert loads(tmp_path) > tried


async def test_a_model_that_is_mended_serves_after_the_wait(bench: Any, tmp_path: Path) -> None:
    code = f"import pathlib\nassert pathlib.Path({str(tmp_path / 'weights')!r}).exists()\n" + OK
    await bench.register("m", code, lazy_load=True)
    assert "AssertionError" in str((await refusal(bench, "m")).message)
    (tmp_path / "weights").touch()
    await until(lambda: bench.host.is_ready("m"), "the wait is over", 5)
    assert await bench.predict("m") == (200, b"OK")
    assert "loadError" not in bench.described("m")


async def test_scaling_by_hand_tries_a_failed_model_at_once(bench: Any, tmp_path: Path) -> None:
    code = f"import pathlib\nassert pathlib.Path({str(tmp_path / 'weights')!r}).exists()\n" + OK
    await bench.register("m", code, lazy_load=True)
    await refusal(bench, "m")
    (tmp_path / "weights").touch()
    outcome = await bench.host.scale("m", None, 1, 1, True)
    assert outcome.text == "Workers scaled"


async def test_a_request_waits_for_a_load_no_longer_than_its_deadline(
    bench: Any, tmp_path: Path
) -> None:
    await bench.register("m", held(tmp_path), lazy_load=True)
    late = failed(bench, "m", deadline=time.monotonic() + 0.2)
    patient = failed(bench, "m")
    with pytest.raises(RequestTimeout):
        await asyncio.wait_for(late, 10)
    (tmp_path / "go").touch()
    assert await asyncio.wait_for(patient, 20) == (200, b"OK")


async def test_a_load_has_its_time_limit(bench: Any, tmp_path: Path) -> None:
    await bench.register("m", held(tmp_path), lazy_load=True, load_timeout_s=1.0)
    assert "did not load within 1 seconds" in str((await refusal(bench, "m")).message)
    assert bench.described("m")["workers"] == []


async def test_no_more_loads_go_on_at_once_than_the_setting_says(
    make_bench: Any, tmp_path: Path
) -> None:
    bench = await make_bench(max_concurrent_loads=1)
    (tmp_path / "other").mkdir()
    await bench.register("first", held(tmp_path), lazy_load=True)
    await bench.register("second", counted(tmp_path / "other"), lazy_load=True)
    first, second = failed(bench, "first"), failed(bench, "second")
    await until(lambda: bench.described("first")["workers"][0]["state"] == "LOADING")
    [waiting] = bench.described("second")["workers"]
    assert waiting["reason"] == "waits for its turn: 1 load is under way (max_concurrent_loads)"
    assert loads(tmp_path / "other") == 0
    # What somebody asks for by number does not wait.
    await bench.register("third", OK)
    (tmp_path / "go").touch()
    assert await asyncio.wait_for(first, 20) == (200, b"OK")
    assert await asyncio.wait_for(second, 20) == (200, b"OK")


async def test_a_turn_to_load_is_waited_for_no_longer_than_a_load_may_take(
    make_bench: Any, tmp_path: Path
) -> None:
    bench = await make_bench(max_concurrent_loads=1)
    await bench.register("first", held(tmp_path), lazy_load=True)
    await bench.register("second", OK, lazy_load=True, load_timeout_s=0.3)
    first = failed(bench, "first")
    assert "no turn to load within 0.3 seconds" in str((await refusal(bench, "second")).message)
    (tmp_path / "go").touch()
    await asyncio.wait_for(first, 20)


async def test_a_model_that_goes_while_it_wakes_answers_all_and_leaves_nothing(
    bench: Any, tmp_path: Path
) -> None:
    await bench.register("m", held(tmp_path), lazy_load=True)
    waiting = [failed(bench, "m") for _ in range(3)]
    await until(lambda: bench.described("m")["workers"][0]["state"] == "LOADING")
    [pid] = bench.pids("m")
    await bench.host.unregister("m")
    for each in waiting:
        with pytest.raises(ServiceUnavailable):
            await asyncio.wait_for(each, 10)
    await until(lambda: not Path(f"/proc/{pid}").exists(), "its process is gone")


async def test_a_model_that_a_user_scaled_to_nothing_is_not_woken(bench: Any) -> None:
    await bench.register("m", OK, lazy_load=True)
    await bench.host.scale("m", None, 0, 0, True)
    assert "It has 0 workers; PUT /models/m?min_worker=1" in str(
        (await refusal(bench, "m")).message
    )
    assert not bench.host.is_ready("m")


async def test_a_model_without_workers_that_may_have_some_is_woken(bench: Any) -> None:
    await bench.register("m", OK, initial_workers=0)
    assert "It has 0 workers" in str((await refusal(bench, "m")).message)
    await bench.host.scale("m", None, 0, 4, True)
    assert await bench.predict("m") == (200, b"OK")
    # One: the maximum says what a model may have, not what it needs.
    assert len(bench.described("m")["workers"]) == 1


async def test_a_version_that_is_not_the_default_is_woken_by_its_own_requests(
    bench: Any, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        await bench.register("m", counted(tmp_path / version), version=version, lazy_load=True)
    assert await bench.predict("m", version="2") == (200, b"OK")
    assert (loads(tmp_path / "1"), loads(tmp_path / "2")) == (0, 1)


async def test_a_worker_that_crashes_is_restarted_as_any_other(bench: Any) -> None:
    code = "import os\n" + OK.replace(
        "return", "data and data[0]['body'] == 'die' and os._exit(3)\n    return"
    )
    await bench.register("m", code, lazy_load=True, retry=False)
    assert await bench.predict("m") == (200, b"OK")
    assert (await bench.predict("m", b"die"))[0] == 500
    assert await bench.predict("m") == (200, b"OK")


async def test_lazy_models_are_healthy_and_ready_before_their_first_request(
    make_bench: Any,
) -> None:
    bench = await make_bench(lazy_load=True, strict_ping=True)
    await bench.register("m", OK)
    assert bench.described("m")["workers"] == []
    assert (bench.host.ping(), bench.host.problems()) == ("Healthy", [])
    assert bench.host.is_ready("m")
    assert bench.host.is_anything_loaded()
    # A registration says otherwise.
    await bench.register("eager", OK, lazy_load=False)
    assert len(bench.described("eager")["workers"]) == 1


async def test_an_archive_says_that_its_model_is_loaded_on_demand(bench: Any) -> None:
    url = bench.write("m", OK)
    config = "lazyLoad: true\nminWorkers: 2\nmaxWorkers: 3\n"
    (bench.store / url / "model-config.yaml").write_text(config)
    await bench.host.register(RegisterOptions(url))
    described = bench.described("m")
    assert (described["minWorkers"], described["maxWorkers"], described["workers"]) == (0, 3, [])
    assert await bench.predict("m") == (200, b"OK")
    assert len(bench.described("m")["workers"]) == 2


async def test_a_graphs_nodes_are_woken_by_its_requests(make_bench: Any) -> None:
    bench = await make_bench(lazy_load=True)
    node = (
        "import json\ndef handle(data, context):\n"
        "    return data and [{'strData': json.loads(bytes(d['body']))['strData'] + context.model_name}"
        " if not isinstance(d['body'], dict) else {'strData': d['body']['strData'] + context.model_name}"
        " for d in data]\n"
    )
    for name in ("a", "b"):
        await bench.register(name, node)
    graph = {"name": "a", "type": "MODEL", "children": [{"name": "b", "type": "MODEL"}]}
    (bench.store / "g.yaml").write_text(json.dumps({"name": "main", "graph": graph}))
    await bench.host.register(RegisterOptions("g.yaml", model_name="g"))
    assert bench.host.is_ready("g")
    assert [bench.described(name)["workers"] for name in ("a", "b")] == [[], []]
    status, body = await bench.predict(
        "g", b'{"strData": ""}', content_type=b"application/json", headers=b"Host\nx"
    )
    assert (status, json.loads(body)["strData"]) == (200, "ab")


async def test_a_worker_that_cannot_even_be_described_leaves_no_place_behind(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.register("m", OK, lazy_load=True)

    def fail(*_: object) -> None:
        raise RuntimeError("injected")

    with monkeypatch.context() as patched:
        patched.setattr("mms.serving.registration.model_factory.WorkerSpecs.of", fail)
        with pytest.raises(UnexpectedError):
            failed(bench, "m")
    assert bench.described("m")["workers"] == []
    assert await bench.predict("m") == (200, b"OK")


async def test_requests_of_a_model_that_is_unregistered_while_it_loads_are_told_so(
    bench: Any, tmp_path: Path
) -> None:
    await bench.register("m", held(tmp_path), lazy_load=True)
    waiting = failed(bench, "m")
    await until(lambda: bench.pids("m") != [])
    await bench.host.unregister("m")
    with pytest.raises(ServiceUnavailable) as error:
        await asyncio.wait_for(waiting, 20)
    text = "No worker is available to serve request for model: m. It takes no more requests."
    assert str(error.value.message) == text
