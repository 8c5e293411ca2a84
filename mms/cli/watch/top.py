"""`mms top`: what the models of a server do, live."""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import click

from mms.cli.connecting import complete_name, json_option, on_management

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType

    from mms.client import Client

_SORTS = ("rate", "queue", "p99", "memory", "name")
#: Lines of a terminal that the table of models does not have.
_OTHER_LINES = 6
_HEADINGS = (
    *("MODEL", "STATE", "READY", "QUEUE", "RUN"),
    *("REQ/S", "ERR/S", "P50 MS", "P99 MS", "BATCH", "MIB"),
)
#: Columns of text, which come first.
_TEXTS = 2
#: For the largest usual value, where that is wider than the heading.
_WIDTHS = {"STATE": 9, "REQ/S": 7}


@dataclass(frozen=True, slots=True)
class Load:
    """What a model did in an interval.

    Times are in milliseconds, memory in bytes. None: there was no request, or memory has not been measured yet.
    """

    model: str
    version: str | None
    state: str
    ready: int
    workers: int
    queue: int
    running: int
    requests_per_s: float
    errors_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    batch: float | None
    memory: int | None


@click.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1, shell_complete=complete_name)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks; rates and times are of the requests between.",
)
@click.option("--once", is_flag=True, help="Print one table, after one interval.")
@click.option(
    "--sort",
    type=click.Choice(_SORTS),
    default=_SORTS[0],
    show_default=True,
    help="What comes first: the most of it, or by name.",
)
@json_option("Print a line of JSON for each interval.")
@on_management
def top(
    client: Client, names: tuple[str, ...], interval: float, once: bool, sort: str, is_json: bool
) -> None:
    """Show what the models do, live, until Ctrl-C.

    It shows workers, queue, rate, times and memory of each.

    Where standard output is no terminal one table is printed, as with --once.

    \b
    Examples:
      mms top
      mms top hello --interval 1
      mms top --once --json | jq '.models[].requests_per_s'
    """
    views = _views(client, interval, names, sort)
    try:
        if is_json:
            for view in views:
                _print_json(view)
                if once:
                    return
        elif once or not sys.stdout.isatty():
            _print_table(next(views))
        else:
            _show(views)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        import os

        # Python's own flush at the end may not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@dataclass(frozen=True, slots=True)
class View:
    """What is shown at a time. `problem`: why it is not of now; empty where it is."""

    server: Mapping[str, Any]
    totals: Mapping[str, Any]
    loads: Sequence[Load]
    #: The processes that hold clients' connections.
    fronts: Sequence[Mapping[str, Any]] = ()
    problem: str = ""


def _views(client: Client, interval_s: float, names: Sequence[str], sort: str) -> Iterator[View]:
    """Each interval what the models did in it. A server that goes away meanwhile is waited for."""
    from mms.client import ServerUnreachable

    before, before_s = client.snapshot(), time.monotonic()
    view = View(before["server"], before["totals"], (), before.get("fronts", ()))
    while True:
        time.sleep(interval_s)
        try:
            after, after_s = client.snapshot(), time.monotonic()
        except ServerUnreachable as error:
            view = replace(view, problem=str(error))
        else:
            loads = loads_between(before, after, after_s - before_s)
            wanted = [load for load in loads if not names or load.model in names]
            view = View(
                after["server"], after["totals"], in_order(wanted, sort), after.get("fronts", ())
            )
            before, before_s = after, after_s
        yield view


def loads_between(
    before: Mapping[str, Any], after: Mapping[str, Any], seconds: float
) -> list[Load]:
    """Return what each model did between two snapshots. Of one that began between, it is all that it did."""
    earlier = {(model["name"], model["version"]): model for model in before["models"]}
    bounds = after["timeBounds"]
    return [
        _load(earlier.get((model["name"], model["version"])), model, bounds, seconds)
        for model in after["models"]
    ]


def _load(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    bounds: Sequence[float],
    seconds: float,
) -> Load:
    def counted(part: str, member: str) -> float:
        """How much a counter has grown; all of it where the server began anew."""
        now = after[part][member]
        then = before[part][member] if before is not None else 0
        return float(now - then if now >= then else now)

    times = after["answers"]["times"]
    if before is not None and sum(before["answers"]["times"]) <= sum(times):
        pairs = zip(times, before["answers"]["times"], strict=True)
        times = [max(now - then, 0) for now, then in pairs]
    good, of_clients, of_server = (
        counted("answers", member) for member in ("good", "ofClients", "ofServer")
    )
    batches = sum(after["batches"]["sizes"])
    if before is not None and sum(before["batches"]["sizes"]) <= batches:
        batches -= sum(before["batches"]["sizes"])
    in_batches = counted("batches", "requests")
    workers = after["workers"]
    return Load(
        model=after["name"],
        version=after["version"],
        state=after["state"],
        ready=sum(worker["state"] in ("READY", "BUSY") for worker in workers),
        workers=after["workerCount"],
        queue=after["waiting"],
        running=after["inFlight"],
        requests_per_s=round((good + of_clients + of_server) / seconds, 2),
        errors_per_s=round(of_server / seconds, 2),
        p50_ms=quantile_ms(times, bounds, 0.5),
        p99_ms=quantile_ms(times, bounds, 0.99),
        batch=round(in_batches / batches, 2) if batches else None,
        # What has not been measured is 0 there, and is measured with the metrics of the host.
        memory=sum(worker["memory"] for worker in workers) or None,
    )


def quantile_ms(counts: Sequence[int], bounds: Sequence[float], quantile: float) -> float | None:
    """Return a quantile of a histogram, in milliseconds, as Prometheus computes it; None of an empty one.

    `counts`: of each bucket, one more than there are upper `bounds`, which are in seconds.
    """
    total = sum(counts)
    if not total:
        return None
    rank = quantile * total
    sums = list(accumulate(counts))
    index = bisect_left(sums, rank)
    if index >= len(bounds):
        return round(bounds[-1] * 1000, 3)
    lower = bounds[index - 1] if index else 0.0
    share = (rank - sums[index] + counts[index]) / counts[index]
    return round((lower + (bounds[index] - lower) * share) * 1000, 3)


def in_order(loads: Sequence[Load], sort: str) -> list[Load]:
    """Return the models, those with the most of what is asked for first."""

    def key(load: Load) -> tuple[float, str, str]:
        most = {
            "rate": load.requests_per_s,
            "queue": load.queue,
            "p99": load.p99_ms or 0.0,
            "memory": load.memory or 0,
        }
        return -most.get(sort, 0.0), load.model, load.version or ""

    return sorted(loads, key=key)


def _cells(load: Load) -> tuple[str, ...]:
    return (
        load.model if load.version is None else f"{load.model}:{load.version}",
        load.state,
        f"{load.ready}/{load.workers}",
        str(load.queue),
        str(load.running),
        f"{load.requests_per_s:.1f}",
        f"{load.errors_per_s:.1f}",
        _number(load.p50_ms),
        _number(load.p99_ms),
        _number(load.batch),
        "-" if load.memory is None else f"{load.memory / 2**20:.0f}",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def _head(view: View) -> str:
    totals = view.totals
    rate = sum(load.requests_per_s for load in view.loads)
    held = " ".join(str(front["connections"]) for front in view.fronts)
    fronts = f", connections of fronts: {held}" if held else ""
    return (
        f"{view.server['health']} - {totals['ready']} of {totals['models']} models ready, "
        f"{totals['workers']} workers, {totals['waiting']} waiting, {rate:.1f} requests/s"
        f"{fronts}"
    )


def _print_json(view: View) -> None:
    import json

    document = {
        "server": view.server,
        "totals": view.totals,
        "fronts": view.fronts,
        "models": [asdict(load) for load in view.loads],
        **({"problem": view.problem} if view.problem else {}),
    }
    print(json.dumps(document, ensure_ascii=False), flush=True)


def _print_table(view: View) -> None:
    from mms.cli.printing import print_table

    print(_head(view))
    print_table(_HEADINGS, [_cells(load) for load in view.loads])


def _show(views: Iterator[View]) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(
        "Looking ...", console=console, screen=True, auto_refresh=False, transient=True
    ) as live:
        for view in views:
            live.update(_drawn(view, console.size.height), refresh=True)


def _drawn(view: View, height: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mms.cli.printing import printable

    most = max(height - _OTHER_LINES, 1)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", expand=True)
    for number, heading in enumerate(_HEADINGS):
        justify: JustifyMethod = "left" if number < _TEXTS else "right"
        width = _WIDTHS.get(heading, len(heading))
        # What is too wide for the terminal is taken from the names.
        table.add_column(
            heading,
            justify=justify,
            no_wrap=True,
            overflow="ellipsis",
            min_width=width if number else None,
            ratio=None if number else 1,
        )
    for load in view.loads[:most]:
        style = {"failing": "red", "loading": "yellow"}.get(load.state, "")
        table.add_row(*(Text(printable(cell), style=style) for cell in _cells(load)))
    parts: list[RenderableType] = [Text(_head(view), style="bold"), table]
    if len(view.loads) > most:
        parts.append(Text(f"... and {len(view.loads) - most} more models"))
    if view.problem:
        parts.append(Text(printable(view.problem), style="red"))
    parts.append(Text("Ctrl-C ends it", style="dim"))
    return Group(*parts)
