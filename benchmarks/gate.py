"""Whether a request costs the front more of the processor than it did: against a baseline that is kept.

The cost is processor time of the driven front, which waits for nobody, in units of a piece of work that never changes
and is done in between (`calibration.py`). Of both the quickest turns count, as a busy machine can only slow turns down.
So the figures hold on other machines, for one version of Python.
"""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.calibration import calibrate
from benchmarks.driven_front import KINDS, DrivenFront, Kind
from benchmarks.places import ROOT
from mms import version

BASELINE = Path(__file__).with_name("baseline.json")
#: What a request may cost beyond the baseline.
ALLOWED = 1.05
#: Processes that are tried until one keeps to the limit: where memory lies by chance makes up to two per cent.
_TRIES = 6
_RENEWALS = 9
_TURNS = 200
_WARM_UP_TURNS = 30
_COMMAND = (sys.executable, "-m", "benchmarks.gate")

Costs = dict[str, float]
"""Units of calibration for a turn of 64 requests, by the kind of requests."""


def form() -> str:
    """Return what baselines are kept for: figures of different Pythons say nothing about each other."""
    name = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        name += ", optimized"
    return name if version.form() == "pure Python" else f"{name}, {version.form()}"


async def _measure(kind: Kind) -> float:
    front = DrivenFront(kind)
    await front.start()
    for _ in range(_WARM_UP_TURNS):
        front.turn()
        calibrate()
    clock = time.process_time_ns
    turns: list[int] = []
    units: list[int] = []
    gc.collect()
    gc.disable()
    for _ in range(_TURNS):
        began = clock()
        calibrate()
        ended = clock()
        units.append(ended - began)
        front.read()
        front.dispatch()
        spent = clock() - ended
        while results := front.work():
            came = clock()
            front.answer(results)
            spent += clock() - came
        answered = clock()
        front.record()
        turns.append(spent + clock() - answered)
    gc.enable()
    await front.close()
    return min(turns) / min(units)


def measure() -> Costs:
    """Measure in a process of its own. Raises CalledProcessError."""
    run = subprocess.run(_COMMAND, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return {str(name): float(cost) for name, cost in json.loads(run.stdout).items()}


def excesses(costs: Costs, baseline: Mapping[str, float]) -> Costs:
    """Return by how many times the baseline the kinds cost that are beyond the limit."""
    found = {name: costs[name] / allowed for name, allowed in baseline.items()}
    return {name: ratio for name, ratio in found.items() if ratio > ALLOWED}


def check(tell: Callable[[str], None], measure: Callable[[], Costs] = measure) -> bool:
    """Tell and return whether no kind of request costs more than the baseline allows."""
    baseline = _baselines().get(form())
    if baseline is None:
        tell(f"no baseline for {form()}; ./scripts/bench --renew-baseline makes one")
        return True
    least: Costs = {}
    for _ in range(_TRIES):
        for name, cost in measure().items():
            least[name] = min(cost, least.get(name, cost))
        if not excesses(least, baseline):
            break
    beyond = excesses(least, baseline)
    for name, kept in baseline.items():
        mark = f"  more than {ALLOWED:.0%} of it" if name in beyond else ""
        tell(f"{name:10} {least[name] / kept:6.1%} of the baseline{mark}")
    return not beyond


def renew(tell: Callable[[str], None], measure: Callable[[], Costs] = measure) -> None:
    """Keep what requests cost now as the baseline of this Python; those of others stay."""
    runs = [measure() for _ in range(_RENEWALS)]
    costs = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    baselines = {**_baselines(), form(): costs}
    BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tell(f"{form()}: {', '.join(f'{name} {cost}' for name, cost in costs.items())}")


def _baselines() -> dict[str, Costs]:
    if not BASELINE.exists():
        return {}
    found: dict[str, Costs] = json.loads(BASELINE.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    print(json.dumps({kind.name: asyncio.run(_measure(kind)) for kind in KINDS}))
