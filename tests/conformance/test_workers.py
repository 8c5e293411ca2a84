"""Worker processes: their environment, their ends and what comes after."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.background import Background, Gate
from support.client import Reply, in_parallel, request_bytes
from support.processes import is_alive, is_original
from support.server import Server, manifest, unique_name
from support.waiting import eventually

#: A second for an answer; loading is not what is timed.
HASTY = {"url": "obey", "initial_workers": 1, "response_timeout": 1, "load_timeout": 60}
WORKER_DIED = {"code": 500, "type": "InternalServerException", "message": "Worker died."}


def _obey(server: Server, name: str, **order: object) -> Reply:
    orders = {key.replace("_", " "): value for key, value in order.items()}
    return server.inference.post_json(f"/predictions/{name}", orders)


def _pid(server: Server, name: str) -> int:
    reply = _obey(server, name)
    assert reply.status == 200, reply
    return int(reply.text)


@pytest.fixture
def obedient(main_server: Server) -> Iterator[str]:
    with main_server.registered("obey") as name:
        yield name


# Environment


def _inspect(server: Server) -> Any:
    return server.inference.post(f"/predictions/{server.shared('inspect')}", b"x").json()


def test_a_worker_runs_in_the_folder_of_its_model(server: Server) -> None:
    shown = _inspect(server)
    assert shown["folder"] == str(server.store / "inspect")
    assert shown["folder"] in shown["path"]


def test_a_worker_computes_with_one_thread_unless_told_otherwise(server: Server) -> None:
    environment = _inspect(server)["environment"]
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MXNET_USE_OPERATOR_TUNING"] == "0"


def test_the_folder_of_the_package_is_not_on_the_path(server: Server) -> None:
    for entry in _inspect(server)["path"]:
        assert not (Path(entry) / "context.py").exists()


def test_a_worker_inherits_the_environment_but_for_variables_whose_whole_name_matches(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(
        {"blacklist_env_vars": ".*PASSWORD|SECRET", "threads_per_worker": "2"},
        environment={
            "MY_PASSWORD": "hidden",
            "SECRET": "hidden",
            "SECRETARY": "kept",
            "MY_SECRET": "kept",
            "OMP_NUM_THREADS": "3",
            "PYTHONPATH": os.pathsep.join(["/given", *_original_path()]),
        },
    )
    shown = _inspect(server)
    environment = shown["environment"]
    assert "MY_PASSWORD" not in environment
    assert "SECRET" not in environment
    assert (environment["SECRETARY"], environment["MY_SECRET"]) == ("kept", "kept")
    assert environment["OMP_NUM_THREADS"] == "3", "it was set for the server"
    assert environment["OPENBLAS_NUM_THREADS"] == "2"
    assert "/given" in shown["path"]


def _original_path() -> list[str]:
    return [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []


# Unexpected ends


@pytest.mark.edge
def test_a_request_whose_worker_dies_is_500_and_another_worker_comes(server: Server) -> None:
    with server.registered("obey") as name:
        before = _pid(server, name)
        reply = _obey(server, name, exit=1)
        assert (reply.status, reply.json()) == (500, WORKER_DIED)
        assert server.inference.get("/ping").status == 200
        assert _pid(server, name) != before
        assert not is_alive(before)


def test_an_exit_of_python_costs_no_other_request(main_server: Server, obedient: str) -> None:
    reply = _obey(main_server, obedient, **{"sys.exit": 1})
    assert reply.status in (500, 503)
    assert reply.json()["type"] == "InternalServerException"
    assert _pid(main_server, obedient)


def test_a_killed_worker_is_replaced(main_server: Server, obedient: str) -> None:
    before = _pid(main_server, obedient)
    psutil.Process(before).kill()
    eventually("the worker is gone", lambda: not is_alive(before))

    def replaced() -> int:
        reply = _obey(main_server, obedient)
        return int(reply.text) if reply.status == 200 else 0

    assert eventually("a new worker answers", replaced) != before


def test_a_worker_that_dies_takes_its_batch_and_no_more(main_server: Server, gate: Gate) -> None:
    with main_server.registered("obey", initial_workers=2) as name:
        order = {**gate.order, "value": "kept"}
        other = Background(lambda: _obey(main_server, name, **order))
        gate.wait_until_reached()
        assert _obey(main_server, name, exit=1).json() == WORKER_DIED
        gate.open()
        assert other.result().text == "kept"


def test_requests_queue_while_a_worker_comes_back(main_server: Server, obedient: str) -> None:
    """It takes about a second, and is logged."""
    assert _obey(main_server, obedient, exit=1).status == 500
    begun = time.monotonic()
    replies = in_parallel([lambda: _obey(main_server, obedient, value="later")] * 5)
    assert [reply.text for reply in replies] == ["later"] * 5
    assert time.monotonic() - begun < 15
    main_server.wait_for_log("mms_log.log", r"Worker disconnected\.")


@pytest.mark.better_than_mms
def test_a_dead_worker_shows_in_the_description(main_server: Server, obedient: str) -> None:
    _obey(main_server, obedient, exit=1)
    worker = main_server.describe(obedient)["workers"][0]
    assert worker["status"] != "READY"
    reply = main_server.inference.get("/ping")
    assert reply.status == 200
    assert reply.json()["status"] in ("Healthy", "Partial Healthy")
    assert _pid(main_server, obedient)
    eventually(
        "the worker is ready",
        lambda: main_server.describe(obedient)["workers"][0]["status"] == "READY",
    )


def test_a_request_that_kills_workers_is_never_tried_a_third_time(
    main_server: Server, scratch: Path
) -> None:
    url = unique_name("deadly")
    record = scratch / "tries"
    main_server.write_model(
        url,
        "import os\n"
        "def handle(data, context):\n"
        "    if data is None:\n"
        "        return None\n"
        f"    with open({str(record)!r}, 'a') as file:\n"
        "        file.write('x')\n"
        "    os._exit(1)\n",
        manifest(url),
    )
    with main_server.registered(url) as name:
        assert main_server.inference.get(f"/predictions/{name}").json() == WORKER_DIED
    assert len(record.read_text()) <= 2


@pytest.mark.edge
@pytest.mark.better_than_mms
def test_a_handler_can_see_that_its_client_has_gone(server: Server, scratch: Path) -> None:
    url = unique_name("cancelled")
    started, noticed = scratch / "started", scratch / "noticed"
    server.write_model(
        url,
        "import pathlib, time\n"
        "def handle(data, context):\n"
        "    if data is None:\n"
        "        return None\n"
        f"    pathlib.Path({str(started)!r}).touch()\n"
        "    ends_at = time.monotonic() + 10\n"
        "    while not context.cancelled and time.monotonic() < ends_at:\n"
        "        time.sleep(0.01)\n"
        "    if context.cancelled:\n"
        f"        pathlib.Path({str(noticed)!r}).touch()\n"
        "    return ['OK'] * len(data)\n",
        manifest(url),
    )
    with server.registered(url) as name:
        with server.inference.wire() as wire:
            wire.send(request_bytes("POST", f"/predictions/{name}", b"x"))
            eventually("the handler runs", started.exists)
        eventually("it has noticed", noticed.exists)


@pytest.mark.better_than_mms
def test_restarts_leak_no_files(main_server: Server, obedient: str) -> None:
    _pid(main_server, obedient)
    main = psutil.Process(main_server.pid)
    descriptors = main.num_fds()
    files = len(list(main_server.temporary.rglob("*")))
    for _ in range(2):
        assert _obey(main_server, obedient, exit=1).status == 500
        _pid(main_server, obedient)
    eventually("no more descriptors than before", lambda: main.num_fds() <= descriptors + 1)
    assert len(list(main_server.temporary.rglob("*"))) <= files + 1


# Timeouts


def test_seconds_in_json_limit_the_answer_as_the_log_says_too(server: Server) -> None:
    name = unique_name("obey")
    order = {**HASTY, "model_name": name}
    assert server.management.post_json("/models", order).status_text == "Workers scaled"
    before = _pid(server, name)
    server.wait_for_log("mms_log.log", r"Backend response time: \d+$")
    begun = time.monotonic()
    reply = _obey(server, name, sleep=30)
    elapsed_s = time.monotonic() - begun
    assert (reply.status, reply.json()) == (500, WORKER_DIED)
    assert 0.9 <= elapsed_s < 20
    server.wait_for_log("mms_log.log", "Backend worker did not respond in given time$")
    server.wait_for_log("mms_log.log", "Number or consecutive unsuccessful inference 1$")
    assert _pid(server, name) != before
    if not is_original():
        eventually("the process is gone", lambda: not is_alive(before))
    server.unregister(name)


def test_minutes_in_the_query_limit_the_answer(main_server: Server) -> None:
    with main_server.registered("obey", response_timeout=1) as name:
        assert _obey(main_server, name, sleep=1.3, value="late").text == "late"


def test_a_negative_timeout_means_the_servers(main_server: Server) -> None:
    name = unique_name("obey")
    order = {"url": "obey", "model_name": name, "initial_workers": 1, "response_timeout": -1}
    assert main_server.management.post_json("/models", order).status == 200
    assert _obey(main_server, name, sleep=0.1, value="fine").text == "fine"
    main_server.unregister(name)


@pytest.mark.better_than_mms
def test_a_load_that_does_not_end_is_given_up(main_server: Server) -> None:
    url = unique_name("hang")
    main_server.write_model(
        url, "import time\ndef handle(data, context):\n    time.sleep(600)\n", manifest(url)
    )
    before = set(main_server.processes())
    order = {"url": url, "initial_workers": 1, "response_timeout": 1}
    reply = main_server.management.post_json("/models", order)
    assert reply.status == 500
    assert "Failed to start workers" in reply.json()["message"]
    eventually("its process is gone", lambda: set(main_server.processes()) <= before)


# Sharing and output


def test_a_preloaded_model_is_loaded_once(main_server: Server) -> None:
    url = unique_name("preloaded")
    record = main_server.directory / f"{url}.txt"
    main_server.write_model(
        url,
        "import os\n"
        "def _note(text):\n"
        f"    with open({str(record)!r}, 'a') as file:\n"
        "        file.write(text + '\\n')\n"
        "_note('imported')\n"
        "def handle(data, context):\n"
        "    if data is None:\n"
        "        _note('loaded')\n"
        "        return None\n"
        "    return [str(os.getpid())] * len(data)\n",
        manifest(url),
    )
    reply = main_server.register(url, initial_workers=2, preload_model="true")
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    assert int(main_server.inference.get(f"/predictions/{url}").text) > 0
    assert record.read_text().split() == ["imported", "loaded"]
    main_server.unregister(url)


def test_without_preloading_every_worker_loads(main_server: Server) -> None:
    url = unique_name("loaded")
    record = main_server.directory / f"{url}.txt"
    main_server.write_model(
        url,
        f"with open({str(record)!r}, 'a') as file:\n"
        "    file.write('x')\n"
        "def handle(data, context):\n"
        "    return ['OK'] * len(data or [1])\n",
        manifest(url),
    )
    main_server.register(url, initial_workers=2, preload_model="false")
    assert record.read_text() == "xx"
    main_server.unregister(url)


@pytest.mark.better_than_mms
def test_an_unknown_word_for_preloading_is_400(main_server: Server) -> None:
    reply = main_server.register("noop", model_name=unique_name("noop"), preload_model="perhaps")
    assert (reply.status, reply.json()["type"]) == (400, "BadRequestException")


def test_the_words_for_preloading_are_accepted(main_server: Server) -> None:
    for word in ("yes", "True", "y", "1", "no", "n", "0"):
        with main_server.registered("noop", preload_model=word, initial_workers=0):
            pass
    with main_server.registered("noop", preload_model="yes") as name:
        assert main_server.inference.get(f"/predictions/{name}").body == b"OK"


def test_much_output_of_a_handler_does_not_stop_it(main_server: Server, obedient: str) -> None:
    text = "y" * 70 + "\n"
    reply = _obey(main_server, obedient, write=text * 3000, value="through")
    assert reply.text == "through"


@pytest.mark.better_than_mms
def test_a_line_of_output_without_an_end_does_not_stop_a_handler(
    main_server: Server, obedient: str
) -> None:
    assert _obey(main_server, obedient, write="z" * 1_000_000, value="through").text == "through"


@pytest.mark.better_than_mms
def test_workers_end_when_the_server_is_killed(start_server: Callable[..., Server]) -> None:
    server = start_server({"load_models": "noop,obey", "default_workers_per_model": "1"})
    assert server.inference.get("/predictions/noop").body == b"OK"
    assert len(server.processes()) >= 3
    psutil.Process(server.pid).kill()
    eventually("no process is left", lambda: not server.processes(), timeout_s=15)


@pytest.mark.better_than_mms
def test_the_traceback_of_a_failed_load_is_logged(main_server: Server) -> None:
    name = unique_name("init-error")
    assert main_server.register("init-error", model_name=name, initial_workers=1).status == 500
    main_server.wait_for_log("mms_log.log", "could not load model " + name)
    log = (main_server.logs / "mms_log.log").read_text("utf-8").partition(f"-{name}-")[2]
    # Who reads on from the first word of it has the whole reason.
    before = log.partition("could not load model")[0]
    assert before.index("Traceback") < before.index("RuntimeError: this model never loads")


@pytest.mark.better_than_mms
def test_a_stopped_process_is_killed_and_replaced(main_server: Server) -> None:
    name = unique_name("obey")
    order = {**HASTY, "model_name": name}
    assert main_server.management.post_json("/models", order).status == 200
    before = _pid(main_server, name)
    os.kill(before, signal.SIGSTOP)
    assert _obey(main_server, name).json() == WORKER_DIED
    eventually("the process is gone", lambda: not is_alive(before))
    assert _pid(main_server, name) != before
    main_server.unregister(name)


@pytest.mark.better_than_mms
@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_model_survives_the_end_of_all_its_processes(main_server: Server, preload: str) -> None:
    others = set(main_server.processes())
    with main_server.registered("obey", preload_model=preload) as name:
        own = set(main_server.processes()) - others
        assert own
        for pid in own:
            # With the first ones others end.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually("they are gone", lambda: not own & set(main_server.processes()))

        def answers() -> bool:
            return _obey(main_server, name).status == 200

        eventually("the model answers again", answers)
