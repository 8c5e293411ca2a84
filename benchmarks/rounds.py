"""Interleaved rounds: in each round every peer has its turn in every cell, so that drift hits all alike.

The servers of a group of cells stay up between their turns, but frozen (SIGSTOP): an idle Java or Ray
process still runs timers and collectors, and two cores have none to spare for them. A server's first turn
has a longer warm-up.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

import psutil

from benchmarks.cells import Cell, groups
from benchmarks.deployment import Deployment
from benchmarks.http_client import NOT_ANSWERED
from benchmarks.latency_goals import visit_goals
from benchmarks.load import LoadFailed
from benchmarks.on_demand import visit_cold, visit_memory, visit_traffic
from benchmarks.peers.peer import Peer
from benchmarks.records import Records, Visit
from benchmarks.server import Server, ServerFailed
from benchmarks.visits import (
    NotMeasured,
    Timing,
    visit_million,
    visit_scale,
    visit_start,
    visit_with_load,
)

# A server may fail a turn for a reason that passes; one that fails again is left out of the cell.
MOST_FAILURES = 2
_FAILURES = (ServerFailed, LoadFailed, NotMeasured, psutil.Error, subprocess.SubprocessError)


class Watcher(Protocol):
    """Shows what happens."""

    def on_group(self, name: str) -> None: ...
    def on_visit(self, cell: Cell, peer: Peer, round_number: int) -> None: ...
    def on_result(self, visit: Visit) -> None: ...
    def on_detail(self, text: str) -> None: ...


class Rounds:
    def __init__(
        self,
        peers: Mapping[str, Peer],
        records: Records,
        timing: Timing,
        round_count: int,
        watcher: Watcher,
    ) -> None:
        self._peers = peers
        self._records = records
        self._timing = timing
        self._round_count = round_count
        self._watcher = watcher
        # Owned by the group that is running: empty between groups.
        self._servers: dict[tuple[str, Deployment], Server] = {}
        self._warm: set[tuple[str, Deployment]] = set()
        self._failures: Counter[tuple[str, str]] = Counter()

    def run(self, cells: Iterable[Cell]) -> None:
        """Whatever is in the records already is not measured again."""
        for name, members in groups(cells).items():
            self._watcher.on_group(name)
            try:
                for round_number in range(self._round_count):
                    self._run_round(members, round_number)
            finally:
                self._stop_all()

    def turns(self, cells: Iterable[Cell]) -> int:
        return sum(
            min(cell.most_rounds or self._round_count, self._round_count)
            * len([peer for peer in self._peers.values() if self._takes_part(cell, peer)])
            for cell in cells
        )

    def _run_round(self, cells: list[Cell], round_number: int) -> None:
        for cell in cells:
            if cell.most_rounds is not None and round_number >= cell.most_rounds:
                continue
            for peer in self._peers.values():
                if self._takes_part(cell, peer):
                    self._watcher.on_visit(cell, peer, round_number)
                    self._visit(cell, peer, round_number)

    def _takes_part(self, cell: Cell, peer: Peer) -> bool:
        return cell.asks(peer.asked_as) and peer.refuses(cell.deployment, cell.load) is None

    def _visit(self, cell: Cell, peer: Peer, round_number: int) -> None:
        has_given_up = self._failures[cell.name, peer.name] >= MOST_FAILURES
        if has_given_up or self._records.has(cell.name, peer.name, round_number):
            return
        try:
            values = self._measure(cell, peer)
            visit = Visit(cell.name, peer.name, round_number, values)
        except (*_FAILURES, *NOT_ANSWERED) as error:
            self._failures[cell.name, peer.name] += 1
            self._drop(peer, cell.deployment)
            visit = Visit(cell.name, peer.name, round_number, problem=str(error) or repr(error))
        self._records.add(visit)
        self._watcher.on_result(visit)

    def _measure(self, cell: Cell, peer: Peer) -> dict[str, float]:
        if cell.kind in ("load", "goals"):
            return self._measure_under_load(cell, peer)
        server = Server(peer, cell.deployment)
        try:
            if cell.kind == "start":
                return visit_start(server)
            if cell.kind == "scale":
                return visit_scale(server)
            if cell.kind == "cold":
                return visit_cold(server)
            if cell.kind == "memory":
                return visit_memory(server)
            if cell.traffic is not None:
                return visit_traffic(server, cell.traffic, self._watcher.on_detail)
            return visit_million(
                server, cell, lambda count: self._watcher.on_detail(f"{count:,} requests")
            )
        finally:
            server.stop()

    def _measure_under_load(self, cell: Cell, peer: Peer) -> dict[str, float]:
        key = (peer.name, cell.deployment)
        server = self._servers.get(key)
        if server is None:
            server = self._servers[key] = Server(peer, cell.deployment)
            server.start()
        server.thaw()
        is_first = key not in self._warm
        if cell.kind == "goals":
            values = visit_goals(server, cell, self._timing, is_first, self._watcher.on_detail)
        else:
            values = visit_with_load(server, cell, self._timing, is_first)
        self._warm.add(key)
        server.freeze()
        return values

    def _drop(self, peer: Peer, deployment: Deployment) -> None:
        key = (peer.name, deployment)
        self._warm.discard(key)
        server = self._servers.pop(key, None)
        if server is not None:
            server.stop()

    def _stop_all(self) -> None:
        """Every server gets its stop, also when one of them will not end; then that is raised."""
        self._warm.clear()
        stubborn: list[ServerFailed] = []
        while self._servers:
            _, server = self._servers.popitem()
            try:
                server.stop()
            except ServerFailed as error:
                stubborn.append(error)
        if stubborn:
            raise stubborn[0]
