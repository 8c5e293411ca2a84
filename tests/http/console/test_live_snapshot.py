"""What is shown of models: which of many, and in what state."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mms.http.console.live_snapshot import MOST_MODELS, most_urgent, state_of_model


def model(name: str, **changes: Any) -> Any:
    of_queue = SimpleNamespace(
        waiting=changes.pop("waiting", 0),
        arrivals=SimpleNamespace(last_at=changes.pop("asked_at", 0.0)),
    )
    members = {
        "name": name,
        "version": None,
        "model": of_queue,
        "workers": ["a worker"],
        "is_ready": True,
        "is_wanted": True,
        "is_on_demand": False,
        "load_failure": None,
        "has_failed_to_load": False,
        "problems": lambda: [f"Model {name} has no workers."],
    }
    return SimpleNamespace(**{**members, **changes})


async def test_of_few_models_all_are_shown_by_name() -> None:
    shown = await most_urgent([model("b"), model("a"), model("c", is_ready=False)])
    assert [each.name for each in shown] == ["a", "b", "c"]


async def test_of_many_models_those_with_trouble_and_with_requests_are_shown() -> None:
    every = [model(f"idle-{number:04}") for number in range(3000)]
    every += [model("z-failing", is_ready=False), model("z-busy", waiting=3)]
    every += [model("z-asked", asked_at=7.0), model("z-stopped", is_ready=False, is_wanted=False)]
    names = [each.name for each in await most_urgent(every)]
    assert len(names) == MOST_MODELS and names == sorted(names)
    assert {"z-failing", "z-busy", "z-asked"} < set(names)
    assert "z-stopped" not in names


async def test_many_models_are_looked_at_in_more_than_one_turn_of_the_loop() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await most_urgent([model(str(number)) for number in range(5000)])
    counting.cancel()
    assert turns >= 9


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ready"),
        ({"is_on_demand": True}, "ready"),
        ({"is_on_demand": True, "workers": []}, "on demand"),
        ({"is_ready": False}, "loading"),
        ({"is_ready": False, "has_failed_to_load": True}, "failing"),
        ({"is_ready": False, "load_failure": SimpleNamespace(error="no weights")}, "failing"),
        ({"is_ready": False, "is_wanted": False, "workers": []}, "no workers"),
    ],
)
def test_a_model_is_in_the_state_that_a_person_would_name(
    changes: dict[str, Any], state: str
) -> None:
    assert state_of_model(model("m", **changes))[0] == state


def test_the_reason_of_a_failed_load_is_told_once() -> None:
    failed = {"is_ready": False, "load_failure": SimpleNamespace(error="no weights")}
    _, reasons = state_of_model(model("m", **failed))
    assert reasons == ["Model m has no workers.", "no weights"]
    told = model("m", **failed, problems=lambda: ["It waits (no weights)."])
    assert state_of_model(told)[1] == ["It waits (no weights)."]
