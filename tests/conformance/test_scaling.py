"""`PUT /models/{model}`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.background import Background, Gate
from support.client import Reply, in_parallel
from support.processes import is_alive
from support.server import Server, unique_name
from support.waiting import eventually

SCALED = "Workers scaled"
PROCESSING = "Processing worker updates..."


@pytest.fixture
def model(main_server: Server) -> Iterator[str]:
    with main_server.registered("obey", initial_workers=0) as name:
        yield name


def _scale(server: Server, model: str, parameters: str = "") -> Reply:
    return server.management.put(f"/models/{model}?{parameters}")


def _workers(server: Server, model: str) -> int:
    return len(server.describe(model)["workers"])


def _pid(server: Server, model: str) -> int:
    return int(server.inference.post_json(f"/predictions/{model}", {}).text)


def test_a_synchronous_scale_says_scaled(main_server: Server, model: str) -> None:
    reply = _scale(main_server, model, "synchronous=true&min_worker=1")
    assert (reply.status, reply.json()) == (200, {"status": SCALED})


def test_scaling_is_in_the_background_by_default(main_server: Server, model: str) -> None:
    reply = _scale(main_server, model, "min_worker=2")
    assert (reply.status, reply.json()) == (202, {"status": PROCESSING})
    description = main_server.describe(model)
    assert len(description["workers"]) == 2
    # The maximum follows the minimum.
    assert (description["minWorkers"], description["maxWorkers"]) == (2, 2)


def test_a_scale_without_parameters_means_one_worker(main_server: Server, model: str) -> None:
    assert _scale(main_server, model).status == 202
    assert _workers(main_server, model) == 1
    description = main_server.describe(model)
    assert (description["minWorkers"], description["maxWorkers"]) == (1, 1)


def test_a_scale_without_parameters_shrinks_to_one_worker(main_server: Server, model: str) -> None:
    assert _scale(main_server, model, "min_worker=2&synchronous=true").status == 200
    reply = _scale(main_server, model)
    assert (reply.status, reply.status_text) == (202, PROCESSING)
    eventually("one worker left", lambda: _workers(main_server, model) == 1)
    assert _pid(main_server, model)


def test_a_maximum_above_the_minimum_starts_no_more(main_server: Server, model: str) -> None:
    _scale(main_server, model, "min_worker=1&max_worker=4&synchronous=true")
    description = main_server.describe(model)
    assert (description["minWorkers"], description["maxWorkers"]) == (1, 4)
    assert len(description["workers"]) == 1


def test_workers_between_minimum_and_maximum_stay(main_server: Server, model: str) -> None:
    _scale(main_server, model, "min_worker=2&synchronous=true")
    _scale(main_server, model, "min_worker=1&max_worker=2&synchronous=true")
    assert _workers(main_server, model) == 2


def test_a_scale_down_ends_processes(main_server: Server, model: str) -> None:
    others = main_server.workers()
    _scale(main_server, model, "min_worker=3&synchronous=true")
    own = main_server.workers() - others
    reply = _scale(main_server, model, "min_worker=1&synchronous=true")
    assert (reply.status, reply.status_text) == (200, SCALED)
    eventually("two processes less", lambda: len(own & main_server.workers()) == len(own) - 2)


def test_the_newest_workers_go_first(main_server: Server, model: str) -> None:
    _scale(main_server, model, "min_worker=1&synchronous=true")
    first = _pid(main_server, model)
    _scale(main_server, model, "min_worker=3&synchronous=true")
    _scale(main_server, model, "min_worker=1&synchronous=true")
    eventually("the first worker answers", lambda: _pid(main_server, model) == first)
    assert is_alive(first)


def test_a_maximum_below_the_minimum_is_400(main_server: Server, model: str) -> None:
    for name in (model, "invalid-and-unknown"):
        reply = _scale(main_server, name, "min_worker=10&max_worker=9")
        assert (reply.status, reply.json()) == (
            400,
            {
                "code": 400,
                "type": "BadRequestException",
                "message": "max_worker cannot be less than min_worker.",
            },
        )


@pytest.mark.better_than_mms
@pytest.mark.parametrize("count", [1001, 2**31, 10**15])
def test_more_workers_than_a_machine_can_have_are_refused(
    main_server: Server, model: str, count: int
) -> None:
    before = main_server.describe(model)
    text = f"must be at most 1000 (max_workers_per_model), not {count}."
    for reply in (
        _scale(main_server, model, f"min_worker={count}"),
        main_server.register("noop", model_name="crowd", initial_workers=count),
    ):
        assert reply.status == 400
        assert text in reply.json()["message"]
    assert main_server.describe(model)["minWorkers"] == before["minWorkers"]
    assert main_server.management.get("/models/crowd").status == 404


def test_scaling_an_unknown_model_is_404(main_server: Server) -> None:
    reply = _scale(main_server, "fake")
    assert (reply.status, reply.json()) == (
        404,
        {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: fake"},
    )


def test_the_documented_parameters_are_accepted(main_server: Server, model: str) -> None:
    for parameters in (
        "min_worker=1&max_worker=1&synchronous=true",
        "min_worker=1&max_worker=1&synchronous=false",
        "min_worker=1",
        "min_worker=1&number_gpu=1",
        "number_gpu=10",
        "timeout=-1",
        "timeout=0",
        "min_worker=1&synchronous=true",
    ):
        reply = _scale(main_server, model, parameters)
        assert reply.status in (200, 202), parameters
        assert reply.status_text == (SCALED if "synchronous=true" in parameters else PROCESSING)


def test_a_scale_that_cannot_load_is_500_and_the_model_stays(main_server: Server) -> None:
    name = unique_name("init-error")
    main_server.register("init-error", model_name=name)
    reply = _scale(main_server, name, "synchronous=true&min_worker=1")
    assert (reply.status, reply.json()) == (
        500,
        {"code": 500, "type": "InternalServerException", "message": "Failed to start workers"},
    )
    assert main_server.management.get(f"/models/{name}").status == 200
    assert main_server.unregister(name).status == 200


@pytest.mark.edge
def test_without_workers_a_prediction_is_refused(server: Server) -> None:
    with server.registered("noop", initial_workers=0) as name:
        reply = server.inference.post(f"/predictions/{name}", b"x")
    told = reply.json()
    assert (reply.status, told["code"], told["type"]) == (503, 503, "ServiceUnavailableException")
    assert told["message"].startswith(
        f"No worker is available to serve request for model: {name}."
        " Consider increasing job queue size."
    )


@pytest.mark.better_than_mms
def test_without_workers_the_refusal_says_how_to_start_one(server: Server) -> None:
    with server.registered("noop", model_name="two words", initial_workers=0):
        reply = server.inference.post("/predictions/two%20words", b"x")
        path = "/models/two%20words?min_worker=1&model_version=1.0"
        assert f" It has 0 workers; PUT {path} on the management" in reply.json()["message"]
        assert server.management.put(f"{path}&synchronous=true").status == 200
        assert server.inference.post("/predictions/two%20words", b"x").status == 200


@pytest.mark.edge
@pytest.mark.better_than_mms
def test_a_refusal_says_when_to_come_back(server: Server) -> None:
    with server.registered("noop", initial_workers=0) as name:
        retry_after = server.inference.post(f"/predictions/{name}", b"x").header("retry-after")
    assert retry_after is not None
    assert int(retry_after) >= 0


@pytest.mark.better_than_mms
def test_scaling_to_zero_and_back_works(server: Server) -> None:
    with server.registered("obey") as name:
        for _ in range(2):
            reply = _scale(server, name, "min_worker=0&synchronous=true")
            assert reply.status == 200
            assert server.inference.post_json(f"/predictions/{name}", {}).status == 503
            eventually("no worker is left", lambda: server.describe(name)["workers"] == [])
            reply = _scale(server, name, "min_worker=1&synchronous=true")
            assert (reply.status, reply.status_text) == (200, SCALED)
            assert server.inference.post_json(f"/predictions/{name}", {}).status == 200


@pytest.mark.better_than_mms
def test_a_minimum_of_zero_keeps_the_workers_up_to_the_maximum(main_server: Server) -> None:
    with main_server.registered("obey", initial_workers=2) as name:
        reply = _scale(main_server, name, "min_worker=0&max_worker=2&synchronous=true")
        assert reply.status == 200
        assert _workers(main_server, name) == 2
        assert main_server.inference.post_json(f"/predictions/{name}", {}).status == 200


@pytest.mark.better_than_mms
def test_requests_that_wait_are_answered_when_the_last_worker_goes(
    server: Server, gate: Gate
) -> None:
    with server.registered("obey") as name:

        def predict() -> Reply:
            return server.inference.post_json(f"/predictions/{name}", gate.order)

        calls = [Background(predict) for _ in range(3)]
        gate.wait_until_reached()
        server.wait_until_queued(name, 2)
        scaling = Background(lambda: _scale(server, name, "min_worker=0"))
        eventually("it takes effect", lambda: server.describe(name)["minWorkers"] == 0)
        assert server.inference.post_json(f"/predictions/{name}", {}).status == 503
        gate.open()
        assert {call.result().status for call in calls} <= {200, 500, 503}
        assert scaling.result().status == 202


@pytest.mark.better_than_mms
def test_a_number_that_is_none_or_negative_is_400_and_harms_nothing(main_server: Server) -> None:
    with main_server.registered("obey") as name:
        before = _pid(main_server, name)
        for parameters in (
            *("min_worker=-1", "min_worker=-2&max_worker=-1", "min_worker=abc"),
            *("max_worker=1x", "min_worker=1.5"),
        ):
            reply = _scale(main_server, name, parameters)
            assert (reply.status, reply.json()["type"]) == (400, "BadRequestException"), parameters
        assert _pid(main_server, name) == before
        description = main_server.describe(name)
        assert (description["minWorkers"], len(description["workers"])) == (1, 1)


def test_several_workers_share_the_requests(server: Server, scratch: Path) -> None:
    with server.registered("obey", initial_workers=2) as name:

        def predict(number: int) -> str:
            other = scratch / str(1 - number)
            order = {"touch": str(scratch / str(number)), "wait for": str(other)}
            server.inference.post_json(f"/predictions/{name}", order)
            return server.inference.post_json(f"/predictions/{name}", {}).text

        # Each of the two calls ends only when the other one runs as well.
        assert len(in_parallel([lambda: predict(0), lambda: predict(1)])) == 2
