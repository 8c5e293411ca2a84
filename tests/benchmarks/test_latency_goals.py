"""Real models under a latency goal: the cells, their requests, and what a turn makes of a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import real_models
from benchmarks.cells import GOALS_MS, GOALS_PATTERN, select_cells
from benchmarks.deployment import Answer, PeerRequest
from benchmarks.latency_goals import visit_goals
from benchmarks.peers import all_peers
from benchmarks.records import Records, Visit
from benchmarks.report import write_report
from benchmarks.server import Server
from benchmarks.visits import Timing

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
ANSWER_S = 0.002


class _OneAtATime(asyncio.Protocol):
    """Answers each request after a time, one after the other: 1 / ANSWER_S a second."""

    free_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        _OneAtATime.free_at = max(_OneAtATime.free_at, loop.time()) + ANSWER_S
        loop.call_at(_OneAtATime.free_at, self.transport.write, OK)


@pytest.fixture
def port() -> Iterator[int]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(_OneAtATime, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_turn_finds_a_rate_below_what_the_server_can_do(
    port: int, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    if not is_full:
        pytest.skip("takes ten seconds of real load, and runs with --full")
    monkeypatch.setattr(real_models, "bodies", lambda kind: [b"x"])
    peer = SimpleNamespace(title="peer", carry=lambda _, body: PeerRequest(("/",), body, {}))
    site = SimpleNamespace(port=port)
    server = SimpleNamespace(
        peer=peer, site=site, processes=list, answers_rightly=lambda request: True
    )
    cell = select_cells(["real-forest"])[0]
    values = visit_goals(
        cast(Server, server), cell, Timing(0.4, 0.1, 0.1), is_first=True, on_progress=lambda _: None
    )
    assert 0 < values["rate_200ms"] < 3 / ANSWER_S
    assert 0 < values["capacity_per_s"] < 1.5 / ANSWER_S


def test_the_command_for_goals_chooses_the_cells_of_real_models_alone() -> None:
    cells = select_cells([GOALS_PATTERN])
    assert {cell.deployment.work.kind for cell in cells} == set(real_models.KINDS)
    assert {cell.kind for cell in cells} == {"goals"}


def test_the_fixed_policy_is_measured_in_the_same_rounds_as_the_adaptive_one() -> None:
    for kind in real_models.KINDS:
        groups = {cell.group for cell in select_cells([f"*-{kind}", f"*-{kind}-*"])}
        assert len(groups) == 1


def test_servers_with_settings_for_real_models_bring_them_their_bodies() -> None:
    deployment = select_cells(["real-photo"])[0].deployment
    for peer in all_peers().values():
        refusal = peer.refuses(deployment, None)
        assert bool(peer.tuning) == (refusal is None), peer.title
        if peer.tuning:
            assert peer.carry(deployment, b"\xff\x00").body


@pytest.mark.parametrize(
    "body", [b'{"class": 3, "score": 0.1}', b'{"data": ["{\\"class\\": 3, \\"score\\": 0.1}"]}']
)
def test_an_answer_is_recognised_however_the_protocol_wraps_it(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    document: dict[str, Any] = {"answers": {"forest": '{"class": 3'}}
    monkeypatch.setattr(real_models, "_document", lambda: document)
    assert real_models.is_right("forest", Answer(200, body))
    assert not real_models.is_right("forest", Answer(200, body.replace(b"3", b"4")))


def test_the_page_shows_rates_by_goal_and_says_where_another_server_is_better(
    tmp_path: Path,
) -> None:
    records = Records(tmp_path / "run")
    records.begin_part(["real-forest"], date="today", commit="a", rounds=1, duration_s=2)
    for name, rate in (("ours", 900.0), ("mosec", 1000.0)):
        values = {"capacity_per_s": 2000.0}
        for goal_ms in GOALS_MS:
            values |= {f"rate_{goal_ms}ms": rate, f"half_p99_{goal_ms}ms": 20.0}
        records.add(Visit("real-forest", name, 0, values))
    target = tmp_path / "page.md"
    write_report(records, all_peers(), target)
    page = target.read_text(encoding="utf-8")
    section = page[page.index("## Real model: forest") :]
    assert section.index("| mosec | 1,000 |") < section.index("**this server**")
    assert "mosec 1,000 requests/s, p99 up to 50 ms, ours 900" in page
    assert "max_batch_size 32" in page, "settings are written down"
