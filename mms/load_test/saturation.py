"""The highest rate at which a server keeps to a goal, measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mms.load_test.goal import LatencyGoal
from mms.load_test.plan import LoadPlan
from mms.load_test.rate_search import RateSearch
from mms.load_test.results import LoadResult
from mms.load_test.schedules import ClosedLoop, Schedule

#: Clients of the closed loop that shows about how much the server can do.
CLIENTS = 32
#: The search begins below what the closed loop shows, as waiting for each other makes clients come in step.
_FIRST_RATE = 0.85
_GROWTH = 1.15
_PRECISION = 0.05
_MOST_TRIALS = 24
#: So often a rate has to fail: others on the machine make rates fail, too.
_TRIES = 2
_LOWEST_RATE = 0.1
_HIGHEST_RATE = 1e5


@dataclass(frozen=True, slots=True)
class RateTrial:
    """One load of a search."""

    rate: float
    held: bool
    result: LoadResult


@dataclass(slots=True)
class Saturation:
    """What a search has found so far."""

    goal: LatencyGoal
    #: Answers a second with many clients that wait for each other: no promise of any latency.
    capacity_per_s: float = 0.0
    trials: list[RateTrial] = field(default_factory=list)
    #: Whether it came to its end: between what held and what failed lie a few per cent.
    is_complete: bool = False

    @property
    def best(self) -> RateTrial | None:
        """The trial with the highest rate that held."""
        return max((t for t in self.trials if t.held), key=lambda t: t.rate, default=None)


async def find_highest_rate(
    plan: LoadPlan,
    goal: LatencyGoal,
    arrivals: Callable[[float, int], Schedule],
    on_trial: Callable[[RateTrial], None],
    on_capacity: Callable[[float], None] = lambda _: None,
) -> Saturation:
    """Search until the plan is stopped, or the answer is known to five per cent. Raises OSError.

    `arrivals` makes the schedule of a rate and the number of its trial.
    """
    found = Saturation(goal)
    capacity = await plan.run(ClosedLoop(CLIENTS))
    found.capacity_per_s = capacity.answers_per_s
    if plan.is_stopped() or not found.capacity_per_s:
        return found
    on_capacity(found.capacity_per_s)
    first = min(max(found.capacity_per_s * _FIRST_RATE, _LOWEST_RATE), _HIGHEST_RATE)
    search = RateSearch(
        first,
        growth=_GROWTH,
        precision=_PRECISION,
        tries=_TRIES,
        most_trials=_MOST_TRIALS,
        lowest=_LOWEST_RATE,
        highest=_HIGHEST_RATE,
    )
    while (rate := search.next_rate()) is not None:
        result = await plan.run(arrivals(rate, len(found.trials)), goal)
        if plan.is_stopped():
            return found
        trial = RateTrial(rate, result.holds(goal), result)
        search.observe(rate, trial.held)
        found.trials.append(trial)
        on_trial(trial)
        if not trial.held:
            await plan.settle(goal)
    found.is_complete = True
    return found
