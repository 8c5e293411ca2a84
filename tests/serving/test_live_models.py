"""Health is asked often, and depends only on models that have workers or are to have some."""

from __future__ import annotations

from typing import Any

import pytest
from support.waiting import until

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
BROKEN = "raise RuntimeError('no such weights')\n"


async def test_health_does_not_look_at_models_that_sleep(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.register("asleep", OK, lazy_load=True)
    await bench.register("awake", OK)
    live = bench.host._workers.live
    assert [served.name for served in live.all()] == ["awake"]
    with monkeypatch.context() as patch:
        patch.setattr(bench.host.registry, "all", lambda: pytest.fail("all models were looked at"))
        assert bench.host.ping() == "Healthy"
        assert bench.host.problems() == []
        assert bench.host.startup_problems() == []
    await bench.predict("asleep")
    assert {served.name for served in live.all()} == {"asleep", "awake"}


async def test_health_depends_on_a_model_as_long_as_it_is_to_have_workers(bench: Any) -> None:
    live = bench.host._workers.live
    await bench.register("m", BROKEN, synchronous=False)
    await until(lambda: bench.host.problems() != [])
    await until(lambda: bench.host.ping() == "Unhealthy")
    await bench.host.scale("m", None, 0, 0, True)
    assert (bench.host.ping(), bench.host.problems(), live.all()) == ("Healthy", [], [])
    await bench.host.scale("m", None, 1, 1, False)
    assert [served.name for served in live.all()] == ["m"]
    await bench.host.unregister("m")
    assert (bench.host.ping(), live.all()) == ("Healthy", [])
    assert repr(live).startswith("<LiveModels, 0 of")
