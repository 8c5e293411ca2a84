"""The command `./scripts/bench`."""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks import gate, real_models
from benchmarks.cells import GOALS_PATTERN, QUICK, Cell, all_cells, select_cells
from benchmarks.display import Display, comparison
from benchmarks.idle_connections import missing_descriptors
from benchmarks.load import generator_version, missing_generator
from benchmarks.machine import checkout_version, describe_machine
from benchmarks.peers import Peer, all_peers
from benchmarks.peers.before import Before, UnknownRevision
from benchmarks.peers.compiled import Compiled
from benchmarks.places import BENCH, DOCS, RUNS
from benchmarks.records import Records
from benchmarks.report import write_report
from benchmarks.rounds import Rounds
from benchmarks.turnstile import AnotherRun, sole_run
from benchmarks.venvs import InstallationFailed
from benchmarks.visits import Timing

_QUICK_DURATION_S = 1
_GOALS_DURATION_S = 2
_ROUNDS = 5
_PAGE = "benchmarks.md"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--peers", help="Servers to compare, with commas between them. [default: all]")
@click.option(
    "--cells", help="Cells or groups, with commas between them; * is allowed. [default: all]"
)
@click.option(
    "--before", "revision", metavar="COMMIT", help="Measure this server as it was then, too."
)
@click.option("--compiled", "is_compiled", is_flag=True, help="Measure its compiled form, too.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds of all servers. [default: 5]")
@click.option("--duration", type=click.IntRange(1), help="Seconds measured a turn. [default: 4]")
@click.option("--quick", is_flag=True, help="One round of 1 s turns in a few cells: a trial.")
@click.option(
    "--goals",
    "is_goals",
    is_flag=True,
    help="Real models alone: the highest rate within a latency goal. [duration: 2, rounds: 1]",
)
@click.option("--list", "is_list", is_flag=True, help="Name the servers and the cells.")
@click.option(
    "--run",
    "run_name",
    metavar="NAME",
    help="Name of the run below .bench/runs. One that exists goes on where it stopped, also with other cells.",
)
@click.option("--report-only", is_flag=True, help="Write the page of --run anew; measure nothing.")
@click.option("--install-only", is_flag=True, help="Install the servers; measure nothing.")
@click.option(
    "--gate",
    "is_gate",
    is_flag=True,
    help="Compare what a request costs the front with benchmarks/baseline.json, and fail above + 5 %.",
)
@click.option(
    "--renew-baseline", "is_renewal", is_flag=True, help="Write that file anew, for this Python."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page to write. [default: docs/benchmarks.md for a whole run, else beside the run's figures]",
)
def main(
    peers: str | None,
    cells: str | None,
    revision: str | None,
    is_compiled: bool,
    rounds: int | None,
    duration: int | None,
    quick: bool,
    is_goals: bool,
    is_list: bool,
    run_name: str | None,
    report_only: bool,
    install_only: bool,
    is_gate: bool,
    is_renewal: bool,
    output: Path | None,
) -> None:
    """Measure this server against others on this machine and write docs/benchmarks.md.

    Installs each server into an environment of its own below .bench, starts it with the same model, loads
    it with wrk in interleaved rounds and checks its answers. A whole run takes two to three hours; --run NAME
    measures it in parts, some --cells at a time.
    """
    console = Console(highlight=False, soft_wrap=True)
    if is_renewal:
        gate.renew(console.print)
        return
    if is_gate:
        sys.exit(0 if gate.check(console.print) else 1)
    if is_list:
        _list(console)
        return
    chosen_peers = _select_peers(peers)
    if revision is not None:
        chosen_peers = _with_before(revision, chosen_peers)
    if is_compiled:
        chosen_peers = {Compiled.name: Compiled(), **chosen_peers}
    if is_goals:
        cells, duration, rounds = cells or GOALS_PATTERN, duration or _GOALS_DURATION_S, rounds or 1
    chosen_cells = _select_cells(cells, quick)
    is_whole = peers is None and cells is None and revision is None and not (quick or is_compiled)
    if report_only and run_name is None:
        raise click.UsageError("--report-only needs --run, the run to report on")
    if report_only and not (RUNS / str(run_name)).is_dir():
        raise click.UsageError(f"there is no run {run_name!r} in {RUNS}")
    started_at = datetime.datetime.now(datetime.timezone.utc)
    records = Records(RUNS / (run_name or started_at.strftime("%Y-%m-%d-%H%M%S")))
    if not report_only:
        if (complaint := missing_generator()) is not None:
            raise click.ClickException(complaint)
        try:
            with sole_run(BENCH):
                _run(
                    chosen_peers,
                    chosen_cells,
                    records,
                    _timing(duration, quick),
                    1 if quick else rounds or _ROUNDS,
                    console,
                    install_only,
                )
        except (AnotherRun, InstallationFailed) as error:
            raise click.ClickException(str(error)) from None
        if install_only:
            return
    target = output or (DOCS / _PAGE if is_whole else records.folder / _PAGE)
    write_report(records, {**all_peers(), **chosen_peers}, target)
    for line in comparison(records, chosen_cells, chosen_peers):
        console.print(line, markup=False)
    console.print(f"figures: {records.folder}\npage: {target}")


def _run(
    peers: dict[str, Peer],
    cells: list[Cell],
    records: Records,
    timing: Timing,
    round_count: int,
    console: Console,
    install_only: bool,
) -> None:
    records.begin_part(
        [cell.name for cell in cells],
        date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        commit=checkout_version(),
        rounds=round_count,
        duration_s=timing.duration_s,
    )
    records.write_header(machine=describe_machine(), generator=generator_version())
    kinds = {cell.deployment.work.kind for cell in cells}
    has_real_models = not kinds.isdisjoint(real_models.KINDS)
    if has_real_models:
        with console.status("building the real models"):
            real_models.build()
    running = _install(peers, records, console, has_real_models)
    if not install_only:
        cells = _possible(cells, records, console)
        _measure(running, cells, records, timing, round_count, console)


def _select_peers(names: str | None) -> dict[str, Peer]:
    known = all_peers()
    if names is None:
        return known
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise click.BadParameter(
                f"no server is called {name!r}; there are: {', '.join(known)}",
                param_hint="--peers",
            )
    return {name: known[name] for name in known if name in chosen}


def _with_before(revision: str, peers: dict[str, Peer]) -> dict[str, Peer]:
    try:
        before = Before(revision)
    except UnknownRevision as error:
        raise click.BadParameter(str(error), param_hint="--before") from None
    return {before.name: before, **peers}


def _select_cells(patterns: str | None, is_quick: bool) -> list[Cell]:
    if patterns is None:
        return select_cells(QUICK) if is_quick else all_cells()
    try:
        return select_cells([part.strip() for part in patterns.split(",") if part.strip()])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cells") from None


def _timing(duration_s: int | None, is_quick: bool) -> Timing:
    if is_quick:
        return Timing(duration_s or _QUICK_DURATION_S, first_warm_up_s=_QUICK_DURATION_S)
    return Timing() if duration_s is None else Timing(duration_s)


def _install(
    peers: dict[str, Peer], records: Records, console: Console, has_real_models: bool
) -> dict[str, Peer]:
    """Return those that can run; the reason of every other goes into the records."""
    running = {}
    for name, peer in peers.items():
        started_at_s = time.monotonic()
        with console.status(f"installing {peer.title}"):
            reason = peer.obstacle()
            if reason is None:
                try:
                    peer.install()
                    if has_real_models and peer.tuning:
                        peer.install_for_real_models()
                except InstallationFailed as error:
                    reason = f"its installation failed: {error}"
        if reason is not None:
            console.print(f"{peer.title} cannot run: {reason}", style="yellow", markup=False)
            records.note("absent", name, reason.replace("\n", " ")[-300:])
            continue
        records.forget("absent", name)
        records.note("versions", name, peer.version())
        running[name] = peer
        console.print(
            f"{peer.title} {peer.version()} is installed ({time.monotonic() - started_at_s:.0f} s)"
        )
    return running


def _possible(cells: list[Cell], records: Records, console: Console) -> list[Cell]:
    """Return those that this machine's limits allow; the reason of every other goes into the records.

    Raises click.ClickException where none is left.
    """
    possible, reason = [], None
    for cell in cells:
        lacking = missing_descriptors(cell.load.idle_connections + cell.load.connections)
        if lacking is None:
            records.forget("refused", cell.name)
            possible.append(cell)
            continue
        reason = f"{cell.name} is left out: {lacking}"
        console.print(reason, style="yellow", markup=False)
        records.note("refused", cell.name, lacking)
    if not possible and reason is not None:
        raise click.ClickException(f"no cell can be measured here; {reason}")
    return possible


def _measure(
    peers: dict[str, Peer],
    cells: list[Cell],
    records: Records,
    timing: Timing,
    round_count: int,
    console: Console,
) -> None:
    display = Display(console)
    rounds = Rounds(peers, records, timing, round_count, display)
    display.expect(rounds.turns(cells))
    try:
        with display:
            rounds.run(cells)
    except KeyboardInterrupt:
        console.print(
            f"stopped; ./scripts/bench --run {records.folder.name} with the same options goes on"
        )
        sys.exit(130)


def _list(console: Console) -> None:
    servers = Table("name", "server", "front", "request", title="Servers", title_justify="left")
    for peer in all_peers().values():
        servers.add_row(peer.name, peer.title, peer.front, peer.note or "plain bytes")
    console.print(servers)
    table = Table("name", "group", "what", "servers", title="Cells", title_justify="left")
    for cell in all_cells():
        table.add_row(cell.name, cell.group, cell.title, ", ".join(cell.peers).replace("*", "all"))
    console.print(table)
