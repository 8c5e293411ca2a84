"""Where the front's own time goes: microseconds of Python for each stage of a prediction, without sockets.

`python -m benchmarks.stages` prints them.
"""

from __future__ import annotations

import asyncio
import gc
import time

import click

from benchmarks.driven_front import CONNECTIONS, KINDS, DrivenFront, Kind

#: The share of turns that are quicker than the one which is shown: a busy machine disturbs the others.
_QUICK = 0.1
_WARM_UP_TURNS = 40


async def measure(kind: Kind, turns: int) -> list[float]:
    """Return microseconds for a request: lane, dispatch, results, records."""
    front = DrivenFront(kind)
    await front.start()
    for _ in range(_WARM_UP_TURNS):
        front.turn()
    gc.collect()
    gc.freeze()
    clock = time.perf_counter
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(turns):
        began = clock()
        front.read()
        read = clock()
        front.dispatch()
        dispatched = clock()
        results_s = 0.0
        while results := front.work():
            came = clock()
            front.answer(results)
            results_s += clock() - came
        answered = clock()
        front.record()
        taken.append((read - began, dispatched - read, results_s, clock() - answered))
    gc.unfreeze()
    await front.close()
    at = int(turns * _QUICK)
    return [sorted(stage)[at] * 1e6 / CONNECTIONS for stage in zip(*taken, strict=True)]


@click.command()
@click.option("--turns", default=800, show_default=True, help="Turns of 64 requests each.")
def main(turns: int) -> None:
    """Print microseconds of Python per request and stage; of ten turns, the second quickest counts."""
    click.echo("               lane   dispatch   results and answers   logs and metrics   total")
    for kind in KINDS:
        lane, dispatch, results, records = asyncio.run(measure(kind, turns))
        click.echo(
            f"{kind.name:12} {lane:6.2f} {dispatch:10.2f} {results:21.2f} {records:18.2f} "
            f"{lane + dispatch + results + records:7.2f}"
        )


if __name__ == "__main__":
    main()
