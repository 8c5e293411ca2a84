"""`mms bench`: loads a server, and says how fast it answers."""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mms.cli.bench.compare import compare
from mms.cli.connecting import NotReachable, as_json, complete_name, connection_options, of_version
from mms.cli.printing import CommandGroup

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mms.load_test import LatencyGoal, LoadPlan, RateTrial, Schedule
    from mms.load_test.reports.report import Report

_RUN = "run"
_POISSON = "poisson"
_CLIENTS = 10
_MOST_CLIENTS = 5000
_CONNECTIONS = 256
_HIGHEST_RATE = 100_000
_LONGEST_S = 86_400
#: Seconds of a load, and of each load of a search.
_DURATION_S, _TRIAL_S = 10.0, 5.0


class _Bench(CommandGroup):
    """`mms bench TARGET` is `mms bench run TARGET`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        target = next(each for each in self.commands[_RUN].params if each.name == "target")
        return [
            *super().shell_complete(ctx, incomplete),
            *target.shell_complete(ctx, incomplete),
        ]


@click.group(cls=_Bench, short_help="Load a server, and say how fast it answers.")
def bench() -> None:
    """Load a server, and say how fast it answers: `mms bench TARGET`, or compare two reports."""


class _Goal(click.ParamType[Any]):
    name = "goal"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from mms.load_test import LatencyGoal

        if isinstance(value, LatencyGoal):
            return value
        try:
            return LatencyGoal.parse(value)
        except ValueError as error:
            self.fail(f"{error}", param, ctx)


GOAL = _Goal()


@bench.command(_RUN, short_help="Load TARGET; `run` may be left out.")
@click.argument("target", shell_complete=complete_name)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    help="A file with a body, or a folder of them; - is standard input. Several are sent in turn.",
)
@click.option("-d", "--data", help="The body itself.")
@click.option(
    "--content-type",
    metavar="TYPE",
    help="Default: what the file's name says, else what the body looks like: JSON, text or bytes.",
)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'")
@click.option(
    "--method",
    type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    help="Default: POST for models and with a body, else GET.",
)
@of_version
@click.option(
    "--rate",
    type=click.FloatRange(min=0, max=_HIGHEST_RATE, min_open=True),
    help="Requests a second, whatever becomes of those before them (open loop).",
)
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    help="Gaps between requests of a rate: those of many clients (the default), or equal ones.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, _MOST_CLIENTS),
    help=f"Clients that ask again when they have their answer (closed loop). Without --rate and --slo: {_CLIENTS}.",
)
@click.option(
    "--slo",
    "goal",
    type=GOAL,
    metavar="p99=50ms",
    help="Find the highest rate at which the goal holds; with --rate or --clients: say whether it does.",
)
@click.option(
    "--duration",
    type=click.FloatRange(0.1, _LONGEST_S),
    help=f"Seconds; of a search of each load. Default: {_DURATION_S:g}, of a search {_TRIAL_S:g}.",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(0, _LONGEST_S),
    default=1,
    show_default=True,
    help="Seconds of load before it counts.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, _MOST_CLIENTS),
    help=f"Most connections of an open loop; default: {_CONNECTIONS}.",
)
@click.option(
    "-o",
    "--report",
    "reports",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a report: a page (.html) or what `compare` reads (.json).",
)
@click.option(
    "--unix-socket",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Reach the url through a Unix socket.",
)
@click.option("--send-key", is_flag=True, help="Send the key of MMS_API_KEY to a url, too.")
@as_json
@connection_options(("inference",), timeout_s=20)
def run(
    target: str,
    files: tuple[str, ...],
    data: str | None,
    content_type: str | None,
    headers: tuple[str, ...],
    method: str | None,
    version: str | None,
    rate: float | None,
    arrivals: str | None,
    clients: int | None,
    goal: LatencyGoal | None,
    duration: float | None,
    warm_up: float,
    connections: int | None,
    reports: tuple[Path, ...],
    unix_socket: str | None,
    send_key: bool,
    is_json: bool,
    inference_url: str | None,
    insecure: bool,
    client_certificate: str | None,
    timeout: float,
) -> None:
    """Load TARGET, a model of a server or any http url, and print how fast it answers.

    Latencies count from when a request was due, so that a server that stalls is charged with all who wait. --slo finds
    the highest rate that a goal holds at. Ctrl-C ends early and shows what is known by then. `mms bench compare A.json
    B.json` puts two reports side by side.

    The exit code is 1 if the goal does not hold, or no answer was right.

    \b
    Examples:
      mms bench hello -d '{"name": "Ada"}' --rate 200
      mms bench animals -f photos/ --slo p99=50ms -o report.html
      mms bench http://127.0.0.1:3000/ --clients 50 --json
    """
    from mms.cli.bench.outputs import check_outputs, print_report, write_reports
    from mms.cli.bench.running import STOPPED, run_stoppable
    from mms.cli.bench.target import make_requests, read_bodies, read_headers
    from mms.cli.printing import print_json
    from mms.load_test import LoadPlan
    from mms.load_test.reports.report import make_report
    from mms.version import __version__

    if rate is not None and clients is not None:
        raise click.UsageError(
            "--rate is an open loop and --clients a closed one: give one of them."
        )
    is_search = goal is not None and rate is None and clients is None
    if rate is None and not is_search and (arrivals, connections) != (None, None):
        raise click.UsageError(
            "--arrivals and --connections are for an open loop; --rate or --slo makes one."
        )
    check_outputs(reports)
    place = _place(
        target,
        version=version,
        unix_socket=unix_socket,
        send_key=send_key,
        inference_url=inference_url,
        insecure=insecure,
        client_certificate=client_certificate,
        timeout=timeout,
    )
    bodies = read_bodies(files, data, content_type)
    is_post = not _is_url(target) or any(body.content for body in bodies)
    requests = make_requests(
        place, bodies, read_headers(headers), method or ("POST" if is_post else "GET")
    )
    schedule = None if is_search else _schedule(rate, arrivals or _POISSON, clients)

    async def work(stop: asyncio.Event) -> Report | None:
        from mms.cli.bench.target import check_first

        plan = LoadPlan(
            place.target,
            requests,
            duration or (_TRIAL_S if is_search else _DURATION_S),
            warm_up,
            connections or _CONNECTIONS,
            timeout,
            stop,
        )
        await check_first(plan, bodies)
        if plan.is_stopped():
            return None
        if schedule is None:
            assert goal is not None
            return await _search(plan, goal, arrivals or _POISSON, place.shown)
        _say(f"Loading {place.shown}: {_load_text(plan, schedule)}")
        result = await plan.run(schedule)
        return make_report(
            plan, schedule, result, where=place.shown, tool=f"mms {__version__}", goal=goal
        )

    try:
        report = run_stoppable(work)
    except OSError as error:
        raise _not_reached(str(place.target), error) from None
    except ValueError as error:
        raise click.ClickException(f"{error}.") from None
    if report is None:
        raise SystemExit(STOPPED)
    if is_json:
        print_json(report.as_dict())
    else:
        print_report(report)
    write_reports(reports, report)
    if report.is_stopped or not report.is_search_complete:
        raise SystemExit(STOPPED)
    is_lost = report.highest_rate == 0 or report.goal_held is False
    if is_lost or not report.latencies.count:
        raise SystemExit(1)


def _not_reached(where: str, error: OSError) -> click.ClickException:
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return NotReachable(
            f"The certificate of {where} is not trusted ({error.verify_message}). --insecure accepts it; the variable "
            "SSL_CERT_FILE names a file of certificates to trust."
        )
    return NotReachable(f"{where} cannot be reached: {error.strerror or error}.")


def _is_url(target: str) -> bool:
    return "://" in target or target.lower().startswith("unix:")


def _place(
    target: str,
    *,
    version: str | None,
    unix_socket: str | None,
    send_key: bool,
    inference_url: str | None,
    insecure: bool,
    client_certificate: str | None,
    timeout: float,
) -> Any:
    from dataclasses import replace

    from mms.cli.bench.target import Place, model_place, read_url, target_of
    from mms.cli.connecting import address_of, make_client
    from mms.client.answer import Call

    secured: dict[str, Any] = {
        "insecure": insecure,
        "client_certificate": client_certificate,
        "timeout_s": timeout,
    }
    if not _is_url(target):
        if unix_socket is not None or send_key:
            raise click.UsageError(
                "--unix-socket and --send-key are for urls; --inference says where a model's server is."
            )
        address = address_of("inference", inference_url)
        with make_client(address, address, **secured) as client:
            return model_place(client, target, version, client.place.tls)
    if version is not None or inference_url is not None:
        raise click.UsageError("--version and --inference are for models; a url says it all.")
    url = read_url(target)
    with make_client(url.address, url.address, **secured) as client:
        headers = client.place.headers(Call("POST", url.path)) if send_key else {}
        reached = target_of(url.address, client.place.tls)
    if unix_socket is not None:
        headers = {"Host": url.authority, **headers}
        reached = replace(reached, unix_path=unix_socket)
    return Place(reached, url.path, headers, url.shown)


def _schedule(rate: float | None, arrivals: str, clients: int | None) -> Schedule:
    from mms.load_test import ClosedLoop

    if rate is None:
        return ClosedLoop(clients or _CLIENTS)
    return _arrivals(arrivals, rate, 0)


def _arrivals(kind: str, rate: float, seed: int) -> Schedule:
    from mms.load_test import ConstantArrivals, PoissonArrivals

    return ConstantArrivals(rate) if kind == "constant" else PoissonArrivals(rate, seed + 1)


async def _search(plan: LoadPlan, goal: LatencyGoal, arrivals: str, where: str) -> Report:
    from mms.load_test import find_highest_rate
    from mms.load_test.reports.report import make_report
    from mms.load_test.reports.text import number
    from mms.load_test.saturation import CLIENTS
    from mms.version import __version__

    def tell(trial: RateTrial) -> None:
        reached_ms = trial.result.percentile(goal.share) * 1000
        if trial.held:
            why = f"held, p{goal.share * 100:g} {reached_ms:.3g} ms"
        elif trial.result.is_given_up:
            why = "not held, ended early"
        else:
            why = "not held" + (
                f", p{goal.share * 100:g} {reached_ms:.3g} ms" * math.isfinite(reached_ms)
            )
        _say(f"  {number(trial.rate):>8} requests/s  {why}")

    _say(
        f"Searching for the highest rate of {where} with {goal}: loads of {plan.warm_up_s:g} + {plan.duration_s:g} s"
    )
    found = await find_highest_rate(
        plan,
        goal,
        lambda rate, seed: _arrivals(arrivals, rate, seed),
        tell,
        lambda capacity: _say(
            f"  {number(capacity):>8} answers/s with {CLIENTS} clients that wait"
        ),
    )
    if not found.trials:
        if plan.is_stopped():
            raise click.ClickException("Stopped before the first rate was measured.")
        raise click.ClickException(f"{where} gave no right answer under load.")
    shown = found.best or found.trials[-1]
    return make_report(
        plan,
        _arrivals(arrivals, shown.rate, 0),
        shown.result,
        where=where,
        tool=f"mms {__version__}",
        goal=goal,
        saturation=found,
    )


def _load_text(plan: LoadPlan, schedule: Schedule) -> str:
    from mms.load_test.reports.report import load_text

    warm_up = f"{plan.warm_up_s:g} s to warm up, then " if plan.warm_up_s else ""
    return f"{load_text(schedule)}, {warm_up}{plan.duration_s:g} s"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


bench.add_command(compare)
