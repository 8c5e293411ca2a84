"""What a run shows while it goes on: a progress bar on a terminal, a line per turn elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.cells import GOALS_MS, Cell
from benchmarks.goals import OWN, against
from benchmarks.peers import Peer
from benchmarks.records import Records, Visit

_COMPARED = (("throughput", "requests_per_s"), ("p50", "p50_ms"), ("p99", "p99_ms"))


class Display:
    """Shows the events of rounds.Watcher."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)

    def expect(self, turns: int) -> None:
        self._progress.update(self._task, total=turns)

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def on_group(self, name: str) -> None:
        self._console.print(f"[bold]{name}[/bold]", highlight=False)

    def on_visit(self, cell: Cell, peer: Peer, round_number: int) -> None:
        text = f"{cell.name}, round {round_number + 1}: {peer.title}"
        self._progress.update(self._task, description=text, advance=1)

    def on_detail(self, text: str) -> None:
        if self._console.is_terminal:
            self._progress.update(self._task, description=text)

    def on_result(self, visit: Visit) -> None:
        head = f"  {visit.cell:<14} {visit.round + 1:>2}  {visit.peer:<12}"
        if visit.problem:
            self._console.print(f"{head} {visit.problem}", style="red", markup=False)
        else:
            self._console.print(f"{head} {one_line(visit.values)}", markup=False, highlight=False)


def comparison(records: Records, cells: Iterable[Cell], peers: Mapping[str, Peer]) -> list[str]:
    """Return a line for each cell under load and server: ours divided by it, by the medians of the rounds."""
    lines = []
    for cell in cells:
        for name, peer in peers.items():
            ratios = [
                f"{word} {value:.2f} x"
                for word, figure in _COMPARED
                if name != OWN and (value := against(cell.name, figure, name)(records)) is not None
            ]
            if ratios:
                lines.append(f"{cell.name}, ours against {peer.title}: {', '.join(ratios)}")
    return lines


def one_line(values: dict[str, float]) -> str:
    if "requests_per_s" in values:
        text = (
            f"{values['requests_per_s']:>9,.0f} requests/s  "
            f"p50 {values['p50_ms']:.3g} ms  p99 {values['p99_ms']:.3g} ms"
        )
        return text + (f"  {values['errors']:,.0f} errors" if values["errors"] else "")
    if "capacity_per_s" in values:
        rates = (
            f"{values[f'rate_{goal_ms}ms']:>7,.0f}/s within {goal_ms} ms" for goal_ms in GOALS_MS
        )
        return f"{'  '.join(rates)}  {values['capacity_per_s']:,.0f}/s in a closed loop"
    return "  ".join(f"{name} {value:,.4g}" for name, value in sorted(values.items()))
