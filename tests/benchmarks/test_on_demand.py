from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import on_demand
from benchmarks.cells import select_cells
from benchmarks.deployment import Answer, Deployment, PeerRequest, Work
from benchmarks.on_demand import Client, Outcome, traffic_values
from benchmarks.peers import all_peers


class ScaledPeer:
    """Loads nothing by itself."""

    loads_on_demand = False
    client_counts_mib = 100
    client_leaves_mib = 50
    ask_timeout_s = 1.0

    def __init__(self) -> None:
        self.calls: list[str] = []

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        return PeerRequest(tuple(deployment.used_model_names()), b"", {})

    def load_model(self, name: str, site: Any) -> None:
        self.calls.append(f"load {name}")

    def unload_model(self, name: str, site: Any) -> None:
        self.calls.append(f"unload {name}")

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        return True

    def loaded_at_s(self, answer: Answer) -> float:
        return 5.0


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> ScaledPeer:
    monkeypatch.setattr(on_demand, "ask", lambda *_: Answer(200, b""))
    return ScaledPeer()


def make_client(peer: ScaledPeer, memory_mib: int) -> Client:
    deployment = Deployment(
        work=Work("classifier"),
        registered_models=4,
        used_models=4,
        on_demand=True,
        memory_mib=memory_mib,
    )
    server: Any = SimpleNamespace(
        peer=peer, deployment=deployment, site=SimpleNamespace(port=1), processes=list
    )
    return Client(server)


def test_a_client_that_loads_models_unloads_the_least_recently_used_one(peer: ScaledPeer) -> None:
    client = make_client(peer, memory_mib=340)
    for number in (0, 1, 0, 2):
        client.ask(number, 0.0)
    assert peer.calls == ["load bench0000", "load bench0001", "unload bench0001", "load bench0002"]
    assert client.hot_models() == 2


def test_without_a_limit_a_client_unloads_nothing(peer: ScaledPeer) -> None:
    client = make_client(peer, memory_mib=0)
    for number in range(4):
        client.ask(number, 0.0)
    assert [call for call in peer.calls if call.startswith("unload")] == []


def test_a_request_that_was_due_before_its_model_was_loaded_is_a_miss(peer: ScaledPeer) -> None:
    client = make_client(peer, memory_mib=0)
    assert client.ask(0, 4.0).is_miss
    assert not client.ask(0, 6.0).is_miss


def test_hits_misses_and_errors_are_counted_apart() -> None:
    outcomes = [
        Outcome(0.01),
        Outcome(0.03),
        Outcome(0.2, is_miss=True),
        Outcome(0.1, status=503, problem="busy"),
    ]
    values = traffic_values(outcomes, unanswered=2)
    assert (values["hits"], values["misses"], values["errors"], values["unavailable"]) == (
        *(2, 1),
        *(3, 1),
    )
    assert values["hit_p50_ms"] == pytest.approx(20)
    assert values["miss_p99_ms"] == pytest.approx(200)


def test_an_answer_that_is_no_text_is_a_problem_like_any_other(
    peer: ScaledPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_demand, "ask", lambda *_: Answer(500, b"\xff" + "é".encode() * 100))
    outcome = make_client(peer, memory_mib=0).ask(0, 0.0)
    assert outcome.status == 500
    assert outcome.problem.startswith("\ufffdé")


def test_servers_that_are_asked_for_models_on_demand_can_load_them() -> None:
    for cell in select_cells(["models on demand"]):
        for name in cell.peers:
            peer = all_peers()[name]
            assert peer.refuses(cell.deployment, None) is None
            paths = peer.request(cell.deployment, 0).paths
            assert len(set(paths)) == cell.deployment.used_models
