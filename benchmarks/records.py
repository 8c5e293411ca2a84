"""What a run measured, on disk from the moment it is measured: one JSON line per visit.

A run that was interrupted goes on where it stopped, one of some cells takes in others later, and a report can be
written anew from its folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.statistics import Summary, summarise

_VISITS = "visits.jsonl"
_HEADER = "run.json"


@dataclass(frozen=True)
class Visit:
    """One turn of one peer in one cell. `values` are figures by name, the unit in the name."""

    cell: str
    peer: str
    round: int
    values: dict[str, float] = field(default_factory=dict)
    # Why there are no values, or what makes them doubtful.
    problem: str = ""


class Records:
    def __init__(self, folder: Path) -> None:
        """Opens the folder of a run, new or old."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.header: dict[str, Any] = {}
        self.visits: list[Visit] = []
        if (folder / _HEADER).is_file():
            self.header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
        if (folder / _VISITS).is_file():
            for line in (folder / _VISITS).read_text(encoding="utf-8").splitlines():
                self.visits.append(Visit(**json.loads(line)))

    def write_header(self, **entries: Any) -> None:
        """Entries that are there already are kept: they describe the machine of the first visits."""
        self.header = {**entries, **self.header}
        text = json.dumps(self.header, indent=2) + "\n"
        (self.folder / _HEADER).write_text(text, encoding="utf-8")

    def begin_part(
        self, cells: Sequence[str], *, date: str, commit: str, rounds: int, duration_s: float
    ) -> None:
        """Say which cells are measured from now on, and how. The same part goes on where only the date differs."""
        parts = self.header.setdefault("parts", [])
        how = {"commit": commit, "rounds": rounds, "duration_s": duration_s}
        if parts and {name: parts[-1].get(name) for name in how} == how:
            parts[-1]["cells"] = list(dict.fromkeys([*parts[-1]["cells"], *cells]))
        else:
            parts.append({"date": date, **how, "cells": list(cells)})
        self.write_header()

    @property
    def parts(self) -> list[dict[str, Any]]:
        """When and how its cells were measured: one for each call of the command that differs from the one before."""
        parts: list[dict[str, Any]] = self.header.get("parts", [])
        return parts

    def note(self, section: str, key: str, text: str) -> None:
        """Remember something by key, such as a peer's version; the newest text stays."""
        self.header.setdefault(section, {})[key] = text
        self.write_header()

    def forget(self, section: str, key: str) -> None:
        if self.header.get(section, {}).pop(key, None) is not None:
            self.write_header()

    def add(self, visit: Visit) -> None:
        self.visits.append(visit)
        with (self.folder / _VISITS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(visit)) + "\n")

    def has(self, cell: str, peer: str, round_number: int) -> bool:
        return any(
            (visit.cell, visit.peer, visit.round) == (cell, peer, round_number) and visit.values
            for visit in self.visits
        )

    def values(self, cell: str, peer: str, figure: str) -> list[float]:
        """Return the values by round; a round that was visited again counts with its last visit."""
        by_round = {
            visit.round: visit.values[figure]
            for visit in self.visits
            if visit.cell == cell and visit.peer == peer and figure in visit.values
        }
        return [by_round[number] for number in sorted(by_round)]

    def summary(self, cell: str, peer: str, figure: str) -> Summary | None:
        values = self.values(cell, peer, figure)
        return summarise(values) if values else None

    def median(self, cell: str, peer: str, figure: str) -> float | None:
        summary = self.summary(cell, peer, figure)
        return None if summary is None else summary.median

    def problems(self, cell: str, peer: str) -> list[str]:
        return [
            visit.problem
            for visit in self.visits
            if visit.cell == cell and visit.peer == peer and visit.problem
        ]

    def peers_of(self, cell: str) -> list[str]:
        """Return the peers with figures, in the order of their first visit."""
        names = (visit.peer for visit in self.visits if visit.cell == cell and visit.values)
        return list(dict.fromkeys(names))

    def cells(self) -> list[str]:
        return list(dict.fromkeys(visit.cell for visit in self.visits))
