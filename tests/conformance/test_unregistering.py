"""`DELETE /models/{model}`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.background import Background, Gate
from support.client import Reply
from support.server import Server, unique_name
from support.waiting import eventually

from .archives import zip_folder


@pytest.mark.edge
def test_unregistering_says_so_and_the_model_is_gone(server: Server) -> None:
    name = unique_name("noop")
    server.register("noop", model_name=name, initial_workers=1)
    reply = server.unregister(name)
    assert (reply.status, reply.json()) == (200, {"status": f'Model "{name}" unregistered'})
    assert server.management.get(f"/models/{name}").status == 404
    assert server.inference.get(f"/predictions/{name}").status == 404


def test_unregistering_an_unknown_model_is_404(main_server: Server) -> None:
    reply = main_server.unregister("fake")
    assert (reply.status, reply.json()) == (
        404,
        {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: fake"},
    )


@pytest.mark.edge
def test_a_name_can_be_registered_again(server: Server) -> None:
    name = unique_name("noop")
    for _ in range(2):
        assert server.register("noop", model_name=name, initial_workers=1).status == 200
        assert server.inference.get(f"/predictions/{name}").body == b"OK"
        assert server.unregister(name).status == 200


def test_the_documented_parameters_are_ignored(main_server: Server) -> None:
    name = unique_name("noop")
    main_server.register("noop", model_name=name)
    reply = main_server.management.delete(f"/models/{name}?synchronous=false&timeout=0")
    assert reply.status_text == f'Model "{name}" unregistered'


def test_unregistering_ends_the_processes_of_the_model(main_server: Server) -> None:
    main_server.inference.get("/ping")
    before = set(main_server.processes())
    with main_server.registered("noop", initial_workers=2):
        assert len(set(main_server.processes()) - before) >= 2
    eventually("only the others are left", lambda: set(main_server.processes()) <= before)


def test_unregistering_removes_what_was_extracted_and_keeps_the_store(
    main_server: Server,
) -> None:
    archive = zip_folder(main_server.store / "noop", main_server.store / "extracted.mar")
    before = set(main_server.temporary.rglob("service.py"))
    with main_server.registered(archive.name):
        extracted = set(main_server.temporary.rglob("service.py")) - before
        assert extracted
    eventually("they are removed", lambda: not any(path.exists() for path in extracted))
    with main_server.registered("noop"):
        pass
    assert archive.exists()
    assert (main_server.store / "noop" / "service.py").exists()


def test_no_time_to_unregister_is_408_and_a_second_try_succeeds(tight: Server) -> None:
    name = unique_name("noop")
    tight.register("noop-v0.1", model_name=name, initial_workers=1)
    reply = tight.unregister(name)
    assert (reply.status, reply.json()) == (
        408,
        {
            "code": 408,
            "type": "RequestTimeoutException",
            "message": f"Timed out while cleaning resources: {name}",
        },
    )
    eventually("a repeated call succeeds", lambda: tight.unregister(name).status in (200, 404))


def test_a_startup_model_can_be_unregistered_and_comes_back_as_an_ordinary_one(
    start_server: Callable[..., Server],
) -> None:
    server = start_server({"load_models": "noop-v0.1,noop", "default_workers_per_model": "1"})
    assert server.inference.post("/invocations", b"x").status == 400
    reply = server.unregister("noop_v0.1")
    assert (reply.status, reply.status_text) == (200, 'Model "noop_v0.1" unregistered')
    # One startup model is left: it answers calls that name none.
    assert server.inference.post("/invocations", b"x").body == b"OK"
    assert server.register("noop-v0.1").status_text == "Workers scaled"
    assert server.describe("noop_v0.1")["loadedAtStartup"] is False
    assert server.inference.post("/invocations", b"x").body == b"OK"
    listed = server.management.get("/models?limit=200&nextPageToken=X").json()["models"]
    assert [model["modelName"] for model in listed] == ["noop", "noop_v0.1"]


@pytest.mark.edge
@pytest.mark.better_than_mms
def test_requests_in_flight_and_waiting_are_answered(server: Server, gate: Gate) -> None:
    name = unique_name("obey")
    server.register("obey", model_name=name, initial_workers=1)
    order = {**gate.order, "value": "done"}

    def predict() -> Reply:
        return server.inference.post_json(f"/predictions/{name}", order)

    calls = [Background(predict) for _ in range(4)]
    gate.wait_until_reached()
    server.wait_until_queued(name, 3)
    unregistering = Background(lambda: server.unregister(name))
    eventually("the model is gone", lambda: server.management.get(f"/models/{name}").status == 404)
    assert server.inference.post_json(f"/predictions/{name}", {}).status == 404
    gate.open()
    replies = [call.result() for call in calls]
    assert {reply.status for reply in replies} <= {200, 500, 503}
    # The one that a worker had begun is finished.
    assert "done" in [reply.text for reply in replies]
    assert unregistering.result().status == 200
