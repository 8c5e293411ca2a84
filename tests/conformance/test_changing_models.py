"""`PUT /models/{name}` changes what a running model was registered with, and nothing that it serves is lost."""

from __future__ import annotations

import threading
from urllib.parse import urlencode

import pytest
from support.background import Background
from support.client import Reply
from support.server import Server, manifest, unique_name
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

#: Answers with the batch size that its worker knows.
_SIZE = """
import os
def handle(data, context):
    if os.path.exists({gate!r}) and context.system_properties["batch_size"] > 4:
        raise RuntimeError("no memory for so many")
    return [str(context.system_properties["batch_size"])] * len(data or [1])
"""


def _change(server: Server, name: str, **options: object) -> Reply:
    return server.management.put(f"/models/{name}?{urlencode(options)}")


def _model(server: Server) -> str:
    name = unique_name("sized")
    gate = str(server.directory / f"{name}.full")
    server.write_model(name, _SIZE.format(gate=gate), manifest(name))
    return name


@pytest.mark.parametrize("preload", ["false", "true"])
def test_workers_learn_a_new_batch_size_one_after_the_other_and_no_request_is_lost(
    main_server: Server, preload: str
) -> None:
    options = {"batch_size": 2, "initial_workers": 2, "preload_model": preload}
    with main_server.registered(_model(main_server), **options) as name:
        before = {worker["pid"] for worker in main_server.describe(name)["workers"]}
        is_over = threading.Event()

        def ask() -> list[Reply]:
            replies = []
            while not is_over.is_set():
                replies.append(main_server.inference.post(f"/predictions/{name}", b"x"))
            return replies

        asking = [Background(ask) for _ in range(3)]
        reply = _change(main_server, name, batch_size=3, synchronous="true")
        assert (reply.status, reply.json()) == (200, {"status": f'Model "{name}" changed'})
        is_over.set()
        replies = [reply for asked in asking for reply in asked.result()]
        assert {reply.status for reply in replies} == {200}
        assert {reply.text for reply in replies} <= {"2", "3"}
        assert main_server.inference.post(f"/predictions/{name}", b"x").text == "3"
        described = main_server.describe(name)
        assert described["batchSize"] == 3

        def has_only_new_workers() -> bool:
            workers = main_server.describe(name)["workers"]
            return len(workers) == 2 and not before & {worker["pid"] for worker in workers}

        # The last of the old ones is unloaded after the change is answered.
        eventually("two workers are left, and both are new", has_only_new_workers)


def test_what_workers_need_not_know_changes_at_once_and_they_stay(main_server: Server) -> None:
    with main_server.registered(_model(main_server), batch_size=4, initial_workers=2) as name:
        before = [worker["pid"] for worker in main_server.describe(name)["workers"]]
        changes = {"max_batch_delay": 7, "response_timeout": 2, "request_timeout": 1.5}
        changes |= {"max_queue_time_ms": 90, "batch_policy": "fixed", "retry": "false"}
        changes |= {"load_timeout": 33}
        assert _change(main_server, name, **changes).status == 200
        described = main_server.describe(name)
        assert [worker["pid"] for worker in described["workers"]] == before
        names = ("maxBatchDelay", "responseTimeout", "requestTimeout", "maxQueueTime")
        assert [described[key] for key in names] == [7, 120.0, 1.5, 90]
        assert (described["batchPolicy"], described["retry"]) == ("fixed", False)
        assert (described["loadTimeout"], described["batchSize"]) == (33, 4)


def test_a_request_that_waits_for_its_batch_goes_when_the_new_delay_says_so(
    main_server: Server,
) -> None:
    options = {"batch_size": 4, "max_batch_delay": 60000, "batch_policy": "fixed"}
    with main_server.registered(_model(main_server), **options) as name:
        asked = Background(lambda: main_server.inference.post(f"/predictions/{name}", b"x"))
        main_server.wait_until_queued(name, 1)
        assert _change(main_server, name, max_batch_delay=1).status == 200
        assert asked.result(20).status == 200


def test_one_call_may_change_options_and_scale(main_server: Server) -> None:
    with main_server.registered(_model(main_server)) as name:
        reply = _change(
            main_server, name, max_batch_delay=9, min_worker=2, max_worker=3, synchronous="true"
        )
        assert (reply.status, reply.json()) == (200, {"status": "Workers scaled"})
        described = main_server.describe(name)
        members = ("maxBatchDelay", "minWorkers", "maxWorkers")
        assert [described[member] for member in members] == [9, 2, 3]


def test_where_no_worker_can_load_with_the_new_size_those_that_serve_go_on(
    main_server: Server,
) -> None:
    with main_server.registered(_model(main_server), batch_size=2) as name:
        folder = main_server.describe(name)["modelUrl"]
        (main_server.directory / f"{folder}.full").touch()
        reply = _change(main_server, name, batch_size=8, synchronous="true")
        assert (reply.status, reply.json()["message"]) == (500, "Failed to start workers")
        assert main_server.inference.post(f"/predictions/{name}", b"x").text == "2"
        reply = _change(main_server, name, batch_size=4)
        assert reply.status == 202
        eventually(
            "the new size",
            lambda: main_server.inference.post(f"/predictions/{name}", b"x").text == "4",
        )


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("batch_size=many", "Parameter batch_size must be a whole number"),
        ("batch_policy=odd", "Parameter batch_policy must be adaptive or fixed"),
        ("request_timeout=-1", "Parameter request_timeout must be a number of seconds from 0 on"),
        ("retry=maybe", "Parameter retry must be"),
    ],
)
def test_a_change_that_is_none_is_refused_and_changes_nothing(
    main_server: Server, query: str, problem: str
) -> None:
    name = main_server.shared("noop")
    before = main_server.describe(name)["batchSize"]
    reply = main_server.management.put(f"/models/{name}?{query}&max_batch_delay=1")
    assert reply.status == 400
    assert problem in reply.json()["message"]
    assert main_server.describe(name)["batchSize"] == before
