"""Workers that come and go by load, as clients see them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.background import Background, Gate
from support.client import in_parallel
from support.server import Server
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms


@pytest.fixture
def model(main_server: Server) -> Iterator[str]:
    with main_server.registered("obey") as name:
        yield name


def _scale(server: Server, name: str, parameters: str) -> None:
    reply = server.management.put(f"/models/{name}?{parameters}&synchronous=true")
    assert reply.status == 200, reply


def _workers(server: Server, name: str) -> int:
    return len(server.describe(name)["workers"])


def test_a_model_grows_under_load_and_rests_when_it_is_idle(
    main_server: Server, model: str, gate: Gate
) -> None:
    _scale(main_server, model, "min_worker=0&max_worker=2&scale_target_ms=50&idle_ttl_s=1")
    held = [
        Background(lambda: main_server.inference.post_json(f"/predictions/{model}", gate.order))
        for _ in range(2)
    ]
    eventually("another worker", lambda: _workers(main_server, model) == 2)
    gate.open()
    assert {each.result().status for each in held} == {200}
    eventually("no workers", lambda: _workers(main_server, model) == 0)
    shown = main_server.management.get(f"/models/{model}/scaling").json()
    decisions = shown["decisions"]
    assert [each["decision"] for each in decisions] == ["down", "up"]
    assert [(each["before"], each["after"]) for each in decisions] == [(2, 0), (1, 2)]
    assert decisions[0]["reason"] == "no request for 1 seconds"
    assert "the target is 50 ms" in decisions[1]["reason"]
    main_server.wait_for_log("mms_log.log", rf"Model {model}: 1 -> 2 workers: requests wait .*")
    main_server.wait_for_log(
        "mms_log.log", rf"Model {model}: 2 -> 0 workers: no request for 1 seconds\."
    )
    families = text_string_to_metric_families(main_server.management.get("/metrics").text)
    counted = {
        sample.labels["decision"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "mms_scaling_decisions_total" and sample.labels["model"] == model
    }
    assert (counted["up"], counted["down"]) == (1, 1)
    # It is woken again.
    assert main_server.inference.post_json(f"/predictions/{model}", {}).status == 200


def test_a_registration_may_name_the_most_workers_that_load_brings(
    main_server: Server, gate: Gate
) -> None:
    bounds = {"initial_workers": 1, "max_worker": 2, "scale_target_ms": 50}
    with main_server.registered("obey", **bounds) as name:
        described = main_server.describe(name)
        assert (described["minWorkers"], described["maxWorkers"]) == (1, 2)
        held = [
            Background(lambda: main_server.inference.post_json(f"/predictions/{name}", gate.order))
            for _ in range(2)
        ]
        eventually("another worker", lambda: _workers(main_server, name) == 2)
        gate.open()
        assert {each.result().status for each in held} == {200}


def test_a_maximum_of_a_registration_that_cannot_be_is_refused_and_one_without_effect_is_told(
    main_server: Server,
) -> None:
    for maximum in ("1", "-1", "x", "1001"):
        reply = main_server.register("obey", model_name="m", initial_workers=2, max_worker=maximum)
        assert reply.status == 400, reply
        assert "max_worker must be" in reply.json()["message"]
    with main_server.registered("obey", max_worker=4) as name:
        assert main_server.describe(name)["maxWorkers"] == 4
    main_server.wait_for_log(
        "mms_log.log",
        f"max_worker has no effect on model {name}: its workers become more only with",
    )
    # Of a model that has no workers at first its requests start them.
    with main_server.registered("obey", initial_workers=0, max_worker=1) as name:
        assert main_server.describe(name)["workers"] == []
        assert main_server.inference.post_json(f"/predictions/{name}", {}).status == 200


def test_a_script_for_mms_that_names_a_maximum_gets_what_mms_does(
    main_server: Server, model: str
) -> None:
    _scale(main_server, model, "min_worker=1&max_worker=4")
    replies = in_parallel(
        [lambda: main_server.inference.post_json(f"/predictions/{model}", {})] * 20
    )
    assert {reply.status for reply in replies} == {200}
    assert _workers(main_server, model) == 1
    shown = main_server.management.get(f"/models/{model}/scaling").json()
    assert (shown["isScaledByLoad"], shown["decisions"]) == (False, [])
    assert shown["reason"] == "Neither scale_target_ms nor idle_ttl_s is set."
