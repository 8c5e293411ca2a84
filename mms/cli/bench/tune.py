"""`mms tune`: finds the numbers with which a model answers the most requests in time."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mms.cli.bench.command import GOAL
from mms.cli.connecting import as_json, connection_options, model_name
from mms.cli.printing import printable

if TYPE_CHECKING:
    from mms.cli.bench.target import Body
    from mms.client import AsyncClient
    from mms.load_test import LatencyGoal, LoadPlan, LoadRequest
    from mms.load_test.tuning import Numbers, Probe, Space, TuningSearch, TuningStep

_CONFIG: Final = "model-config.yaml"
_MOST_WORKERS: Final = 256
#: A longer delay would leave no time for the model.
_DELAY_SHARE: Final = 0.5
#: Requests that a load has at least: p99 of fewer says nothing.
_LEAST_REQUESTS: Final = 10
_SHOWN_CHARS: Final = 300


@dataclass(slots=True)
class _Outcome:
    """What a search has come to, however it ended."""

    search: TuningSearch
    is_stopped: bool = False
    problem: str = ""


@click.command()
@model_name
@click.option("--slo", "goal", type=GOAL, required=True, metavar="p99=50ms", help="The goal.")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    help="A file with a body, or a folder of them; - is standard input. Several are sent in turn.",
)
@click.option("-d", "--data", help="The body itself.")
@click.option("--content-type", metavar="TYPE", help="Default: guessed, as `mms predict` does.")
@click.option(
    "--max-workers",
    type=click.IntRange(1, _MOST_WORKERS),
    help="Most workers to try; default: the CPUs of this machine.",
)
@click.option(
    "--max-threads",
    type=click.IntRange(1, 1024),
    help="Most threads of each worker to try; default: the CPUs. Workers with more threads than CPUs are not tried.",
)
@click.option(
    "--max-batch-size",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    help="Largest batch to try.",
)
@click.option(
    "--cpus", type=click.IntRange(1, 1024), help="CPUs of the server; default: of this machine."
)
@click.option(
    "--duration",
    type=click.FloatRange(0.1, 3600),
    default=3,
    show_default=True,
    help="Seconds of each load.",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(0, 3600),
    default=0.5,
    show_default=True,
    help="Seconds of each load before it counts.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=_CONFIG,
    show_default=True,
    metavar="FILE",
    help="Where the numbers are written; what else is in the file stays.",
)
@as_json
@connection_options(("inference", "management"), timeout_s=20)
def tune(
    name: str,
    goal: LatencyGoal,
    files: tuple[str, ...],
    data: str | None,
    content_type: str | None,
    max_workers: int | None,
    max_threads: int | None,
    max_batch_size: int,
    cpus: int | None,
    duration: float,
    warm_up: float,
    output: Path,
    is_json: bool,
    inference_url: str | None,
    management_url: str | None,
    insecure: bool,
    client_certificate: str | None,
    timeout: float,
) -> None:
    """Find the numbers with which MODEL answers the most in time.

    In time is within the goal. They are written to a file.

    Workers, threads of each, batch size and delay are tried on a copy of the model at the same server, under load;
    other models feel it. Ctrl-C removes the copy and shows what is known by then.

    \b
    Examples:
      mms tune animals --slo p99=50ms -f photos/
      mms tune hello --slo p95=20ms -d '{"name": "Ada"}' --max-workers 4
    """
    from mms.cli.bench.model_config import check_config, write_config
    from mms.cli.bench.outputs import check_writable
    from mms.cli.bench.running import STOPPED, run_stoppable
    from mms.cli.bench.target import read_bodies
    from mms.cli.connecting import NotReachable, address_of, failure
    from mms.client import AsyncClient, ClientError
    from mms.load_test.tuning import Space
    from mms.machine.cpus import available_cpus

    check_writable(output)
    check_config(output)
    bodies = read_bodies(files, data, content_type)
    count = cpus or available_cpus()
    if max_threads is not None and max_threads > count:
        raise click.UsageError(
            f"--max-threads {max_threads} is more than {count} CPUs; --cpus says how many the server has."
        )
    most_delay_ms = goal.limit_s * 1000 * _DELAY_SHARE
    space = Space.of(
        count, max_workers or count, max_threads or count, max_batch_size, most_delay_ms
    )
    inference = address_of("inference", inference_url)
    management = address_of("management", management_url)

    async def work(stop: asyncio.Event) -> _Outcome:
        async with AsyncClient(
            inference,
            management=management,
            verify=not insecure,
            client_certificate=client_certificate,
            retries=0,
        ) as client:
            return await _Tuning(client, name, goal, space, bodies, stop).run(
                duration, warm_up, timeout
            )

    try:
        outcome = run_stoppable(work)
    except ClientError as error:
        raise failure(error, management, "management") from None
    except OSError as error:
        raise NotReachable(f"{inference} cannot be reached: {error.strerror or error}.") from None
    except ValueError as error:
        raise click.ClickException(f"{error}.") from None
    search = outcome.search
    is_written = bool(search.best_rate) and not outcome.is_stopped and not outcome.problem
    if is_written:
        write_config(output, search.best)
    if is_json:
        _print_json(name, goal, outcome)
    else:
        _print(name, goal, outcome, str(output) if is_written else "")
    if outcome.problem:
        raise click.ClickException(outcome.problem)
    if outcome.is_stopped:
        raise SystemExit(STOPPED)
    if not search.best_rate:
        raise SystemExit(1)


class _Tuning:
    """One search: a copy, loads, and what is shown of them."""

    def __init__(
        self,
        client: AsyncClient,
        name: str,
        goal: LatencyGoal,
        space: Space,
        bodies: Sequence[Body],
        stop: asyncio.Event,
    ) -> None:
        self._client = client
        self._name = name
        self._goal = goal
        self._space = space
        self._bodies = bodies
        self._stop = stop
        self._shown = 0

    async def run(self, duration_s: float, warm_up_s: float, timeout_s: float) -> _Outcome:
        """Raises ClickException, ClientError and OSError for what makes a search senseless; the copy is gone then."""
        from mms.cli.bench.tuned_copy import Stopped, TunedCopy
        from mms.load_test import LoadPlan
        from mms.load_test.tuning import TuningSearch

        copy = TunedCopy(self._client, self._name, self._stop)
        described = await self._client.models.describe(self._name)
        for left in await copy.leftovers():
            _say(
                "There is a copy of another search. If that one has ended: "
                f"mms models unregister {shlex.quote(printable(left))}"
            )
        target, requests = self._requests(copy.name)
        plan = LoadPlan(
            target, requests, duration_s, warm_up_s, timeout_s=timeout_s, stop=self._stop
        )
        search = TuningSearch(
            self._space, _numbers_of(described), lowest=_LEAST_REQUESTS / duration_s
        )
        outcome = _Outcome(search)
        _say(f"Tuning {self._name} on the copy {copy.name}, for {self._goal}")
        try:
            # A registration that is cancelled may come to its end at the server all the same.
            await asyncio.shield(asyncio.ensure_future(copy.register()))
            await self._search(copy, plan, outcome)
        except Stopped:
            outcome.is_stopped = True
        finally:
            await self._remove(copy)
        return outcome

    async def _search(self, copy: Any, plan: LoadPlan, outcome: _Outcome) -> None:
        with contextlib.closing(outcome.search.probes()) as probes:
            await self._follow(probes, copy, plan, outcome)

    async def _follow(
        self, probes: Generator[Probe, float, None], copy: Any, plan: LoadPlan, outcome: _Outcome
    ) -> None:
        """Run the loads that a search asks for."""
        from mms.cli.bench.target import check_first
        from mms.cli.bench.tuned_copy import CannotRun, Stopped
        from mms.client import ClientError

        probe = next(probes)
        is_first = True
        while True:
            if self._stop.is_set():
                raise Stopped
            reply = 0.0
            try:
                if is_first:
                    await copy.apply(probe.numbers)
                    await check_first(plan, self._bodies)
                result = await copy.probe(probe, plan, self._goal)
                reply = (
                    result.answers_per_s if probe.rate is None else float(result.holds(self._goal))
                )
                self._tell(probe.numbers, probe.rate, result)
            except CannotRun as error:
                if is_first:
                    raise click.ClickException(f"The copy cannot run: {_short(error)}") from None
                _say(f"  {probe.numbers}: cannot run ({_short(error)})")
            except (ClientError, OSError) as error:
                if is_first:
                    raise
                # What is known by now is worth something.
                outcome.problem = f"The search was not over: {_short(error)}"
                return
            is_first = False
            try:
                probe = probes.send(reply)
            except StopIteration:
                return

    def _tell(self, numbers: Numbers, rate: float | None, result: Any) -> None:
        from mms.load_test.reports.text import milliseconds, number

        if rate is None:
            _say(f"  {numbers}: {number(result.answers_per_s)} answers/s with clients that wait")
            return
        reached = milliseconds(result.percentile(self._goal.share) * 1000)
        percent = f"p{self._goal.share * 100:g}"
        outcome = "held" if result.holds(self._goal) else "not held"
        detail = "ended early" if result.is_given_up else f"{percent} {reached}"
        _say(f"  {numbers}: {number(rate)} requests/s {outcome}, {detail}")

    def _requests(self, name: str) -> tuple[Any, list[LoadRequest]]:
        from mms.cli.bench.target import make_requests, model_place

        place = model_place(self._client, name, None, self._client.place.tls)
        return place.target, make_requests(place, self._bodies, {}, "POST")

    async def _remove(self, copy: Any) -> None:
        """Take the copy away, also while the search is being cancelled."""
        removal = asyncio.ensure_future(copy.remove())
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([removal])
        if not removal.done():
            # One more Ctrl-C.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([removal])
        if not removal.done() or removal.cancelled() or removal.exception() is not None:
            _say(f"The copy could not be removed: mms models unregister {shlex.quote(copy.name)}")


def _numbers_of(described: dict[str, Any]) -> Numbers:
    """Return what a model runs with."""
    from mms.load_test.tuning import Numbers

    least = {"minWorkers": 1, "threadsPerWorker": 1, "batchSize": 1, "maxBatchDelay": 0}
    said = {name: described.get(name) for name in least}
    return Numbers(
        *(
            max(value, least[name]) if isinstance(value, int) else least[name]
            for name, value in said.items()
        )
    )


def _print(name: str, goal: LatencyGoal, outcome: _Outcome, written: str) -> None:
    from mms.cli.printing import print_table
    from mms.load_test.reports.text import number

    search = outcome.search
    if outcome.is_stopped:
        print("Stopped early; this is what is known so far.\n")
    rows = [
        (
            step.numbers.workers,
            step.numbers.threads,
            step.numbers.batch_size,
            step.numbers.delay_ms,
            _rate_text(step),
            "taken" if step.rate and step.is_taken else "",
        )
        for step in search.steps
    ]
    if rows:
        print_table(("WORKERS", "THREADS", "BATCH", "DELAY MS", "REQUESTS/S", ""), rows)
        print()
    if search.steps:
        print("\n".join(search.reasons()))
    if not search.best_rate:
        return
    best = search.best
    print(f"\nBest: {best}. It holds {goal} at {number(search.best_rate)} requests/s.")
    print(f"Written: {written}" if written else "Nothing is written, as the search was not over.")
    print("For the model that is served now:")
    quoted = shlex.quote(name)
    print(
        f"  mms models scale {quoted} {best.workers} --batch-size {best.batch_size} "
        f"--max-batch-delay {best.delay_ms} --threads-per-worker {best.threads}"
    )


def _rate_text(step: TuningStep) -> str:
    from mms.load_test.reports.text import number

    if not step.rate:
        return f"less than {number(step.wanted)}"
    return number(step.rate) if step.is_taken else f"{number(step.rate)} or more"


def _print_json(name: str, goal: LatencyGoal, outcome: _Outcome) -> None:
    from mms.cli.printing import print_json

    search = outcome.search
    print_json(
        {
            "model": name,
            "goal": str(goal),
            "best": asdict(search.best) if search.best_rate else None,
            "requests_per_s": search.best_rate,
            "loads": search.probes_count,
            "is_stopped": outcome.is_stopped,
            "reasons": search.reasons(),
            "steps": [
                {
                    **asdict(step.numbers),
                    "axis": step.axis,
                    "wanted_per_s": step.wanted,
                    "requests_per_s": step.rate,
                    "is_taken": bool(step.is_taken),
                }
                for step in search.steps
            ],
        }
    )


def _short(error: Exception) -> str:
    """Return what a server says, on one line: it may have a traceback, and more."""
    text = printable(" ".join(str(error).split()))
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
