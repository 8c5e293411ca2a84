"""`mms top`: rates and times between two snapshots of a server."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from mms.cli.mms import main
from mms.cli.watch import top as command
from mms.cli.watch.top import Load, View, in_order, loads_between, quantile_ms

from .fake_server import FakeServer, fake_server

BOUNDS = [0.001, 0.01]


def model(name: str = "m", *, times: list[int], of_server: int = 0, **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": name,
        "version": None,
        "state": "ready",
        "workers": [
            {"state": "BUSY", "memory": 2**20},
            {"state": "LOADING", "memory": 2**20},
        ],
        "workerCount": 2,
        "waiting": 3,
        "inFlight": 4,
        "answers": {
            "good": sum(times) - of_server,
            "ofClients": 0,
            "ofServer": of_server,
            "times": times,
        },
        "batches": {"sizes": [sum(times) // 2], "requests": sum(times)},
    }
    return document | more


def snapshot(*models: dict[str, Any]) -> dict[str, Any]:
    return {
        "server": {"health": "Healthy"},
        "totals": {"models": 1, "ready": 1, "workers": 2, "waiting": 3},
        "timeBounds": BOUNDS,
        "models": list(models),
    }


def test_a_model_has_what_it_did_between_two_snapshots() -> None:
    before = snapshot(model(times=[10, 0, 0]))
    after = snapshot(model(times=[10, 8, 0], of_server=2))
    assert loads_between(before, after, 2.0) == [
        Load("m", None, "ready", 1, 2, 3, 4, 4.0, 1.0, 5.5, 9.91, 2.0, 2**21)
    ]


def test_a_model_that_did_nothing_has_no_times() -> None:
    (load,) = loads_between(*[snapshot(model(times=[10, 0, 0]))] * 2, 2.0)
    assert (load.requests_per_s, load.p50_ms, load.p99_ms, load.batch) == (0.0, None, None, None)


def test_memory_that_nobody_has_measured_yet_is_not_shown_as_none(server: FakeServer) -> None:
    workers = [{"state": "READY", "memory": 0}]
    quiet = snapshot(model(times=[0, 0, 0], workers=workers))
    assert loads_between(quiet, quiet, 2.0)[0].memory is None
    server.answers["GET /console/snapshot"] = (200, quiet)
    argv = ["top", "--once", "--interval", "0.1", "--management", server.address]
    assert CliRunner().invoke(main, argv).output.splitlines()[-1].split()[-1] == "-"


def test_of_a_model_or_server_that_began_anew_all_counts() -> None:
    after = snapshot(model(times=[4, 0, 0]))
    for before in (snapshot(), snapshot(model(times=[10, 0, 0]))):
        (load,) = loads_between(before, after, 2.0)
        assert (load.requests_per_s, load.batch) == (2.0, 2.0)
        assert load.p50_ms == 0.5


@pytest.mark.parametrize(
    ("counts", "quantile", "shown"),
    [
        ([0, 0, 0], 0.5, None),
        ([4, 0, 0], 0.5, 0.5),
        ([0, 4, 0], 0.5, 5.5),
        ([2, 2, 0], 0.5, 1.0),
        # Above the last bound nobody knows how far.
        ([0, 0, 1], 0.99, 10.0),
    ],
)
def test_a_quantile_lies_within_its_bucket(
    counts: list[int], quantile: float, shown: float | None
) -> None:
    assert quantile_ms(counts, BOUNDS, quantile) == shown


def test_models_are_sorted_by_what_is_asked_for() -> None:
    before = snapshot()
    after = snapshot(
        model("b", times=[1, 0, 0]),
        model("a", times=[9, 0, 0]),
        model("c", times=[5, 0, 0], waiting=9),
    )
    loads = loads_between(before, after, 1.0)
    orders = {"rate": "acb", "queue": "cab", "name": "abc"}
    for sort, order in orders.items():
        assert "".join(load.model for load in in_order(loads, sort)) == order


@pytest.fixture
def server(folder: Path) -> Any:
    with fake_server(folder / "s") as server:
        server.answers["GET /console/snapshot"] = (200, snapshot(model(times=[4, 0, 0])))
        yield server


def test_without_a_terminal_there_is_one_table(server: FakeServer) -> None:
    argv = ["top", "--interval", "0.1", "--management", server.address]
    lines = CliRunner().invoke(main, argv).output.splitlines()
    assert lines[0] == "Healthy - 1 of 1 models ready, 2 workers, 3 waiting, 0.0 requests/s"
    assert [line.split()[:4] for line in lines[1:]] == [
        ["MODEL", "STATE", "READY", "QUEUE"],
        ["m", "ready", "1/2", "3"],
    ]
    none = CliRunner().invoke(main, [*argv, "other"]).output.splitlines()
    assert len(none) == 2


def test_a_program_gets_a_line_of_json_for_each_interval(server: FakeServer) -> None:
    argv = ["top", "--once", "--json", "--interval", "0.1", "--management", server.address]
    (line,) = CliRunner().invoke(main, argv).output.splitlines()
    (load,) = json.loads(line)["models"]
    assert (load["model"], load["queue"], load["requests_per_s"]) == ("m", 3, 0.0)


def test_a_terminal_shows_as_many_models_as_it_has_lines() -> None:
    loads = loads_between(
        snapshot(), snapshot(*(model(f"m{n}\x1b[2J", times=[1, 0, 0]) for n in range(30))), 1
    )
    view = View({"health": "Healthy"}, snapshot()["totals"], loads, problem="No server answers")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(command._drawn(view, 20))
    text = console.export_text()
    assert "... and 16 more models" in text
    assert "No server answers" in text
    assert "\x1b[2J" not in text
