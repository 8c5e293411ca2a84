"""The example of graphs: routers learn which child is right, an ensemble averages."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example_server import ROOT, ExampleServer, pack, serving
from support.waiting import eventually

EXAMPLE = ROOT / "examples" / "seldon_graph"


@pytest.fixture
def routers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a router's class by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLE / "routers"))
    yield lambda name: getattr(importlib.import_module(name), name)
    for name in ("EpsilonGreedy", "ThompsonSampling", "branch_record"):
        sys.modules.pop(name, None)


def teach(router: Any, success_rates: list[float], rounds: int = 400) -> Counter[int]:
    """The branches that were taken, when a branch is right in this share of the rounds."""
    taken: Counter[int] = Counter()
    for number in range(rounds):
        branch = router.route([[1.0]], [])
        taken[branch] += 1
        is_right = (number % 10) < success_rates[branch] * 10
        router.send_feedback([[1.0]], [], float(is_right), None, routing=branch)
    return taken


@pytest.mark.parametrize("name", ["EpsilonGreedy", "ThompsonSampling"])
def test_a_router_comes_to_prefer_the_branch_that_is_right_more_often(
    routers: Any, name: str
) -> None:
    taken = teach(routers(name)(n_branches=3, seed=1), [0.2, 0.8, 0.1])
    assert taken.most_common(1)[0][0] == 1
    assert taken[1] > 250


def test_an_epsilon_greedy_router_tries_others_as_often_as_epsilon_says(routers: Any) -> None:
    router = routers("EpsilonGreedy")(n_branches=2, epsilon=0.25, best_branch=0, seed=3)
    taken = Counter(router.route([[1.0]], []) for _ in range(1000))
    assert 200 < taken[1] < 300


@pytest.mark.parametrize("name", ["EpsilonGreedy", "ThompsonSampling"])
def test_a_router_without_its_number_of_branches_is_refused(routers: Any, name: str) -> None:
    with pytest.raises(TypeError, match="n_branches is required"):
        routers(name)()
    with pytest.raises(AssertionError, match="n_branches must be 1 or more"):
        routers(name)(n_branches=0)


def test_feedback_counts_the_rows_that_were_right(routers: Any) -> None:
    router = routers("EpsilonGreedy")(n_branches=2, branch_names="a:b")
    router.send_feedback([[1.0]] * 10, [], 0.699999988, None, routing=1)
    router.send_feedback([[1.0]], [], 1.0, None, routing=None)
    assert (list(router.record.successes), list(router.record.tries)) == ([0, 7], [0, 10])
    rates = [m for m in router.metrics() if m["key"] == "branch_success_rate"]
    assert [(m["tags"]["branch"], m["value"]) for m in rates] == [("a", 0.0), ("b", 0.7)]


# The whole of it


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ExampleServer]:
    """The commands of its README, which `tests/pages` runs too, and one router more."""
    if not request.config.getoption("--full"):
        pytest.skip("tests/pages serves this example, and with --full this does too")
    store: Path = tmp_path_factory.mktemp("graphs") / "store"
    store.mkdir()
    for file in EXAMPLE.glob("*.yaml"):
        shutil.copy(file, store)
    # With a seed: by chance alone a router would now and then take the wrong branch too often.
    two = ("n_branches=2:INT", "seed=1:INT")
    for name, folder, handler, more in (
        ("router", "routers", "EpsilonGreedy", (*two, "epsilon=0.2:FLOAT")),
        ("thompson", "routers", "ThompsonSampling", two),
        ("strict", "model", "SumAbove", ("threshold=3.0:FLOAT",)),
        ("fair", "model", "SumAbove", ("threshold=0.0:FLOAT",)),
    ):
        parameters = (part for parameter in more for part in ("--param", parameter))
        named = ("--interface", "seldon", "--handler", handler, *parameters)
        pack(name, EXAMPLE / folder, store, *named)
    # The same graph, with the other router.
    other = (
        (store / "bandit.yaml")
        .read_text(encoding="utf-8")
        .replace("name: router", "name: thompson")
    )
    (store / "thompson.yaml").write_text(other, encoding="utf-8")
    graphs = ("bandit=bandit.yaml", "thompson_bandit=thompson.yaml")
    archives = ("router.mar", "thompson.mar", "strict.mar", "fair.mar")
    with serving(store, "--models", *archives, *graphs) as started:
        for graph in ("bandit", "thompson_bandit"):
            wait_until_ready(started, graph)
        yield started


def wait_until_ready(server: ExampleServer, graph: str) -> None:
    eventually(f"{graph} is ready", lambda: server.describe(graph)["graph"]["state"] == "READY")


@pytest.mark.parametrize(
    ("graph", "router"), [("bandit", "router"), ("thompson_bandit", "thompson")]
)
def test_a_bandit_behind_a_graph_learns_from_feedback_which_child_is_right(
    server: ExampleServer, learn: Any, monkeypatch: pytest.MonkeyPatch, graph: str, router: str
) -> None:
    monkeypatch.setattr(learn, "post", server.post_json)
    monkeypatch.setattr(learn, "ROUTER", router)
    branches = learn.play(f"/seldon/{graph}", rounds=120, seed=5)
    late = Counter(branches[60:])
    assert late[1] > 40, f"fair was taken {late[1]} times in the last 60 rounds"


@pytest.fixture
def learn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module("learn")
    sys.modules.pop("learn", None)
