"""Several fronts serve what is registered at any of them, and share its workers."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from played_cluster import Front, TestCluster
from support.waiting import eventually


@pytest.fixture
def fronts(played: TestCluster) -> list[Front]:
    return played.fronts(2)


def register(front: Front, name: str, url: str = "noop", **parameters: Any) -> None:
    query = "".join(f"&{key}={value}" for key, value in parameters.items())
    reply = front.management.post(
        f"/models?url={url}&model_name={name}&initial_workers=2&synchronous=true{query}"
    )
    assert reply.status == 200, reply.body


def test_a_model_that_is_registered_at_one_front_answers_at_all(fronts: list[Front]) -> None:
    register(fronts[0], "everywhere")
    for front in fronts:
        reply = front.inference.post("/predictions/everywhere", b"x")
        assert (front.name, reply.status) == (front.name, 200)


def test_a_model_is_known_at_all_fronts_when_the_call_that_registers_it_returns(
    fronts: list[Front],
) -> None:
    register(fronts[1], "known")
    assert fronts[0].management.get("/models/known").status == 200


def test_the_workers_of_a_model_are_divided_among_the_fronts(fronts: list[Front]) -> None:
    register(fronts[0], "divided")
    counts = eventually(
        "each has one",
        lambda: [len(front.workers_of("divided")) for front in fronts] == [1, 1],
    )
    assert counts
    assert [front.bounds_of("divided") for front in fronts] == [(2, 2), (2, 2)]


def test_a_model_is_scaled_for_all_fronts_by_a_call_of_one(fronts: list[Front]) -> None:
    register(fronts[0], "scaled")
    assert fronts[1].management.put("/models/scaled?min_worker=4&synchronous=true").status == 200
    assert fronts[0].bounds_of("scaled") == (4, 4)
    eventually("two each", lambda: [len(front.workers_of("scaled")) for front in fronts] == [2, 2])


def test_a_model_that_is_unregistered_at_one_front_is_gone_at_all(fronts: list[Front]) -> None:
    register(fronts[0], "leaves")
    assert fronts[1].management.delete("/models/leaves").status == 200
    assert fronts[0].management.get("/models/leaves").status == 404
    assert fronts[0].inference.post("/predictions/leaves", b"x").status == 404


def test_a_name_is_free_again_at_all_fronts(fronts: list[Front]) -> None:
    for first, second in (fronts, reversed(fronts)):
        register(first, "again")
        assert second.management.delete("/models/again").status == 200


def test_a_registration_that_fails_is_known_nowhere(fronts: list[Front]) -> None:
    reply = fronts[0].management.post(
        "/models?url=init-error&model_name=fails&initial_workers=1&synchronous=true"
    )
    assert reply.status == 500
    assert [front.management.get("/models/fails").status for front in fronts] == [404, 404]


def test_a_second_registration_of_a_name_is_refused_at_another_front(fronts: list[Front]) -> None:
    register(fronts[0], "taken")
    reply = fronts[1].management.post("/models?url=noop&model_name=taken")
    assert reply.status == 409


def test_a_changed_parameter_is_changed_at_all_fronts(fronts: list[Front]) -> None:
    register(fronts[0], "changed", batch_size=2)
    reply = fronts[0].management.put("/models/changed?batch_size=3&synchronous=true")
    assert reply.status == 200, reply.body
    eventually(
        "the other front has it",
        lambda: fronts[1].management.get("/models/changed").json()["batchSize"] == 3,
    )


def test_a_front_without_workers_of_a_model_borrows_one(fronts: list[Front]) -> None:
    reply = fronts[0].management.post(
        "/models?url=echo&model_name=single&initial_workers=1&synchronous=true"
    )
    assert reply.status == 200

    def borrowed() -> list[int]:
        return sorted(
            front.management.get("/models/single").json()["ofThisFront"]["borrowedWorkers"]
            for front in fronts
        )

    eventually("one has it, the other one borrows", lambda: borrowed() == [0, 1])
    answers = [
        front.inference.post("/predictions/single?a=b", b"body", headers={"X-Own": "1"})
        for front in fronts
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body


def test_a_borrowed_worker_passes_errors_on_as_they_are(fronts: list[Front]) -> None:
    fronts[0].management.post(
        "/models?url=custom-return-code&model_name=coded&initial_workers=1&synchronous=true"
    )
    replies = [front.inference.post("/predictions/coded", b"x") for front in fronts]
    assert replies[0].status == replies[1].status
    assert replies[0].body == replies[1].body


def test_a_borrowed_worker_streams(fronts: list[Front]) -> None:
    fronts[0].management.post(
        "/models?url=stream&model_name=streams&initial_workers=1&synchronous=true"
    )
    bodies = [
        front.inference.post_json("/predictions/streams", {"count": 300}).body for front in fronts
    ]
    assert bodies == ["".join(f"{number}," for number in range(300)).encode()] * 2


def test_fronts_agree_after_changes_of_the_same_models_at_all_of_them_at_once(
    played: TestCluster, fronts: list[Front]
) -> None:
    names = [f"contested-{number}" for number in range(4)]

    def change(front: Front, seed: int) -> None:
        choose = random.Random(seed).choice
        for _ in range(12):
            path = f"/models/{choose(names)}"
            match choose(("register", "scale", "change", "unregister")):
                case "register":
                    front.management.post(
                        f"/models?url=noop&model_name={choose(names)}&initial_workers={choose('012')}"
                    )
                case "scale":
                    front.management.put(f"{path}?min_worker={choose('0123')}")
                case "change":
                    front.management.put(f"{path}?batch_size={choose('123')}&min_worker=1")
                case _:
                    front.management.delete(path)

    clients = [
        threading.Thread(target=change, args=(front, seed)) for seed, front in enumerate(fronts * 3)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    def seen_at(front: Front) -> dict[str, Any]:
        described = {name: front.management.get(f"/models/{name}") for name in names}
        return {
            name: tuple(reply.json()[key] for key in ("minWorkers", "maxWorkers", "batchSize"))
            for name, reply in described.items()
            if reply.status == 200
        }

    def agree() -> bool:
        first, second = (seen_at(front) for front in fronts)
        known = set(played.owner("status")["models"])
        return first == second and set(first) == known & set(names)

    eventually("all say the same", agree)
