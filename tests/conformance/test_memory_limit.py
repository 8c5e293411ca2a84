"""Models that do not all fit into the memory that the server may use, as clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.server import Server, ServerPool, manifest, unique_name
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

#: A process of its own takes some 8 MB, or 20 without a fork server.
_HEAVY = "WEIGHTS = b'x' * ({megabytes} << 20)\ndef handle(data, context):\n    return data and ['OK'] * len(data)\n"


@pytest.fixture(scope="module")
def limited(servers: ServerPool) -> Iterator[Server]:
    """A server with memory for two models of 100 MB and for its own processes.

    These hold 40 to 80 MB: what they share with servers of other tests is counted in parts.
    """
    settings = {"memory_limit": "320M", "min_residence_s": "0", "lazy_load": "true"}
    server = Server(servers.new_directory(), settings).start()
    yield server
    server.stop()


@pytest.fixture
def register(limited: Server) -> Iterator[Any]:
    names: list[str] = []

    def make(megabytes: int = 100, **options: object) -> str:
        name = unique_name("heavy")
        limited.write_model(name, _HEAVY.format(megabytes=megabytes), manifest(name))
        reply = limited.register(name, **options)
        assert reply.status == 200, reply
        names.append(name)
        return name

    yield make
    for name in names:
        limited.unregister(name)


def _ask(server: Server, name: str) -> tuple[int, str]:
    reply = server.inference.post(f"/predictions/{name}", b"x")
    return reply.status, reply.text


def _series(server: Server, name: str) -> dict[str, float]:
    text = server.management.get("/metrics").text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, value in lines if name in series}


def test_three_models_share_the_memory_of_two(limited: Server, register: Any) -> None:
    names = [register() for _ in range(3)]
    for name in names * 2:
        assert _ask(limited, name) == (200, "OK")
    described = {name: limited.describe(name)["memory"] for name in names}
    assert all(memory["loadedBytes"] > 100 << 20 for memory in described.values())
    assert all(memory["lastUsed"].startswith("20") for memory in described.values())
    evicted = next(name for name in names if described[name]["evictions"])
    line = rf"Model {evicted} is unloaded \(memory_limit\): .*gives way to heavy.* of 335.5 MB are held"
    limited.wait_for_log("mms_log.log", line)
    eventually(
        "no more than two are loaded",
        lambda: sum(bool(limited.describe(name)["workers"]) for name in names) == 2,
    )
    assert any("mms_evictions_total" in series for series in _series(limited, evicted))
    assert "mms_memory_limit_bytes 3.35" in limited.management.get("/metrics").text


def test_a_model_that_cannot_fit_is_507_with_the_numbers(limited: Server, register: Any) -> None:
    name = register(megabytes=400)
    status, text = _ask(limited, name)
    assert status == 507
    assert "MB of memory, memory_limit is 335.5 MB" in text
    assert '"type":"InternalServerException"' in text.replace(" ", "")


def test_a_host_of_many_models_unloads_one_after_507_and_loads_the_next(limited: Server) -> None:
    names = [unique_name("hosted") for _ in range(3)]
    for name in names:
        limited.write_model(name, _HEAVY.format(megabytes=100))
    calls = limited.management

    def load(name: str) -> int:
        order = {"model_name": name, "url": name, "handler": "service:handle"}
        more = {"initial_workers": 1, "lazy_load": False}
        return calls.post_json("/models", {**order, **more}).status

    def invoke(name: str) -> int:
        return limited.inference.post(f"/models/{name}/invoke", b"x").status

    assert [load(name) for name in names] == [200, 200, 507]
    assert [invoke(name) for name in names] == [200, 200, 404]
    assert calls.delete(f"/models/{names[0]}").status == 200
    assert load(names[2]) == 200
    assert [invoke(name) for name in names] == [404, 200, 200]
    for name in names[1:]:
        limited.unregister(name)


def test_pinned_models_stay_and_a_host_makes_room_by_hand(limited: Server, register: Any) -> None:
    pinned = [register(pinned="true") for _ in range(2)]
    other = register()
    for name in pinned:
        assert _ask(limited, name) == (200, "OK")
    status, text = _ask(limited, other)
    assert status == 507
    assert "are held by the server itself and models that have to stay" in text
    reply = limited.register(
        other, model_name=unique_name("heavy"), lazy_load="false", initial_workers=1
    )
    assert reply.status == 507, reply
    # As a host of many models does: it unloads one, and tries again.
    limited.management.put(f"/models/{pinned[0]}?pinned=false")
    limited.management.put(f"/models/{pinned[0]}?min_worker=0&max_worker=0&synchronous=true")
    reply = limited.management.put(f"/models/{other}?min_worker=1&synchronous=true")
    assert reply.status == 200, reply
    assert _ask(limited, other) == (200, "OK")
