"""How many workers a model is to have, by its load: between its bounds, by the time that requests wait in the queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

from mms.core.scaling.load_estimate import LoadEstimate
from mms.core.scaling.load_sample import LoadSample
from mms.core.scaling.queueing import workers_for

#: As many requests may wait longer than the target at a steady load.
_MOST_LATE: Final = 0.01
#: A backlog is to be gone in about this time, in seconds: what workers take to come up.
_DRAIN_S: Final = 1.0
#: Where so many of the newest looks found requests late, the estimate is wrong, and one more worker is tried.
_LATE_LOOKS: Final = 0.1
#: How long fewer workers must have been enough before some go, in seconds, as Kubernetes's autoscaler has it: a burst
#: that comes back within this time finds its workers, and at a steady load their number moves no more often.
_HOLD_S: Final = 300.0
#: Bursts that have come back after at most this time are waited for, in seconds, by so much longer than they took.
_LONGEST_GAP_S: Final = 900.0
_PATIENCE: Final = 1.25
#: How often a limit of the machine is told, in seconds.
_TELL_S: Final = 60.0
#: A model gets at most so many times the workers that it has, and one, before these have loaded.
_MOST_GROWTH: Final = 2
#: How often it is asked whether a limit has gone, in seconds.
_ASK_S: Final = 2.0
#: How many decisions are remembered.
_REMEMBERED: Final = 50

UP: Final = "up"
DOWN: Final = "down"
LIMITED: Final = "limited"


@dataclass(frozen=True, slots=True)
class ScalingTarget:
    """What a model's scaling is to reach, as it was registered and scaled. 0 turns a part off."""

    min_workers: int
    max_workers: int
    #: Requests are to wait no longer in the queue, in seconds.
    delay_s: float = 0.0
    #: Without a request for so long the model has no more than its minimum, in seconds.
    idle_ttl_s: float = 0.0

    @property
    def is_active(self) -> bool:
        """Whether the number of workers changes by itself at all."""
        return self.max_workers > self.min_workers and bool(self.delay_s or self.idle_ttl_s)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many workers the machine lets a model have, and what limits them."""

    workers: int
    reason: str


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """A change of a model's workers, or one that could not be made, with the numbers that it is made of."""

    at: float
    kind: str
    before: int
    after: int
    wanted: int
    reason: str
    delay_s: float
    waiting: int
    rate: float
    cost_s: float

    @property
    def line(self) -> str:
        """Return it as a part of a log line."""
        kept = f"{self.before} of {self.wanted} workers" if self.kind == LIMITED else None
        return f"{kept or f'{self.before} -> {self.after} workers'}: {self.reason}"


class ScalingPolicy:
    """Decides for one model version, whenever it is looked at. Pure: looks and limits are passed in."""

    def __init__(self) -> None:
        self.estimate = LoadEstimate()
        self.decisions: deque[ScalingDecision] = deque(maxlen=_REMEMBERED)
        #: Decisions of each kind so far.
        self.counts = {UP: 0, DOWN: 0, LIMITED: 0}
        #: How many workers would be enough, by the last look.
        self.wanted = 0
        #: (when, how many were wanted), of the time for which surplus workers are kept.
        self._wanted_before: deque[tuple[float, int]] = deque()
        #: Of the largest burst that has come back after more than the usual time: how many workers are kept for its
        #: next return, for how long, and until when that counts.
        self._kept = 0
        self._keep_s = _HOLD_S
        self._keep_until = 0.0
        #: When it was last told that the machine lets it have no more; None: not since it has these workers.
        self._limited_at: float | None = None
        self._asked_at = 0.0
        #: Since when it has the workers that it has; None: since the next look.
        self._same_since: float | None = None

    def __repr__(self) -> str:
        return f"<ScalingPolicy, {self.wanted} wanted, {len(self.decisions)} decisions>"

    def restart(self) -> None:
        """Somebody has scaled the model by hand: what was found to be enough before holds no longer."""
        self._wanted_before.clear()
        self._limited_at = self._same_since = None

    def decide(
        self, sample: LoadSample, target: ScalingTarget, allowance: Callable[[], Allowance]
    ) -> ScalingDecision | None:
        """Take a look in, and return what is to change; None: nothing.

        `allowance` is asked only before workers are added.
        """
        self.estimate.observe(sample)
        if not target.is_active or not sample.workers:
            self.restart()
            return None
        if self._same_since is None:
            self._same_since = sample.at
        idle_s = sample.at - self.estimate.busy_at
        if target.idle_ttl_s and idle_s >= target.idle_ttl_s:
            return self._rest(sample, target)
        if not target.delay_s:
            self.wanted = sample.workers
            return None
        self.wanted, reason = self._wanted_now(sample, target)
        self._remember(sample.at)
        if self.wanted > sample.workers:
            return self._grow(sample, reason, allowance)
        return self._shrink(sample)

    def _rest(self, sample: LoadSample, target: ScalingTarget) -> ScalingDecision | None:
        self.wanted = target.min_workers
        self._wanted_before.clear()
        if sample.workers <= target.min_workers:
            return None
        reason = f"no request for {target.idle_ttl_s:g} seconds"
        return self._decided(sample, DOWN, target.min_workers, reason)

    def _wanted_now(self, sample: LoadSample, target: ScalingTarget) -> tuple[int, str]:
        estimate, most = self.estimate, target.max_workers
        least = max(target.min_workers, 1)
        cost_s = estimate.cost_s
        is_late = sample.delay_s > target.delay_s
        late = f"requests wait {_ms(sample.delay_s)}, the target is {_ms(target.delay_s)}"
        if not cost_s:
            # Nobody knows what a request costs before the first ones are answered.
            wanted = sample.workers + 1 if is_late and not sample.coming else sample.workers
            return min(max(wanted, least), most), late
        cost_s = min(cost_s, sample.full_batch_s or cost_s)
        wanted = workers_for(estimate.rate * cost_s, cost_s, target.delay_s, _MOST_LATE, most)
        reason = f"{estimate.rate:.3g} requests a second of {_ms(cost_s)} each"
        offered = estimate.recent_rate * cost_s
        needed = workers_for(offered, cost_s, target.delay_s, _MOST_LATE, most)
        if is_late:
            needed = max(needed, ceil(offered + sample.waiting * cost_s / _DRAIN_S))
        else:
            # Those of a burst that are there already stay; chance alone is no reason for more.
            needed = min(needed, sample.workers)
        if needed > wanted:
            wanted = needed
            reason = f"{late}; {estimate.recent_rate:.3g} requests a second of {_ms(cost_s)} each"
        if (
            wanted <= sample.workers
            and not sample.coming
            and estimate.late_looks(target.delay_s) >= _LATE_LOOKS
        ):
            wanted, reason = sample.workers + 1, f"{late} again and again"
            estimate.forget_delays()
        return min(max(wanted, least), most), reason

    def _remember(self, now: float) -> None:
        """Keep what was wanted and not surpassed since, and find out whether it was wanted before."""
        before = self._wanted_before
        gap_s = next((now - at for at, wanted in reversed(before) if wanted >= self.wanted), 0.0)
        if now > self._keep_until:
            self._kept = 0
        if gap_s > _HOLD_S and self.wanted >= self._kept:
            self._kept, self._keep_s = self.wanted, gap_s * _PATIENCE
            self._keep_until = now + 2 * self._keep_s
        while before and before[-1][1] <= self.wanted:
            before.pop()
        before.append((now, self.wanted))
        while before[0][0] < now - _LONGEST_GAP_S:
            before.popleft()

    def _grow(
        self, sample: LoadSample, reason: str, allowance: Callable[[], Allowance]
    ) -> ScalingDecision | None:
        if self._limited_at is not None and sample.at - self._asked_at < _ASK_S:
            return None
        self._asked_at = sample.at
        allowed = allowance()
        # What is known of the load comes from the workers that are there: a guess from few of them may be far off.
        step = _MOST_GROWTH * (sample.workers - sample.coming) + 1
        after = min(self.wanted, max(allowed.workers, sample.workers), max(step, sample.workers))
        if after > sample.workers:
            limit = (
                f", as many as {allowed.reason}" if after == allowed.workers < self.wanted else ""
            )
            return self._decided(sample, UP, after, reason + limit)
        if allowed.workers > sample.workers:
            # Those that are coming may be enough.
            return None
        if self._limited_at is not None and sample.at - self._limited_at < _TELL_S:
            # It has been told.
            return None
        reason = f"{reason}, no more than {allowed.reason}"
        return self._decided(sample, LIMITED, sample.workers, reason)

    def _shrink(self, sample: LoadSample) -> ScalingDecision | None:
        enough = self._most_wanted(sample.at - _HOLD_S)
        hold_s = _HOLD_S
        if self._kept > enough:
            hold_s = self._keep_s
            enough = max(enough, min(self._most_wanted(sample.at - hold_s), self._kept))
        is_held = sample.at - (self._same_since or 0.0) < _HOLD_S
        if enough >= sample.workers or is_held:
            return None
        verb = "has" if enough == 1 else "have"
        return self._decided(
            sample, DOWN, enough, f"{enough} {verb} been enough for {hold_s:.0f} seconds"
        )

    def _most_wanted(self, since: float) -> int:
        return next(wanted for at, wanted in self._wanted_before if at >= since)

    def _decided(self, sample: LoadSample, kind: str, after: int, reason: str) -> ScalingDecision:
        decision = ScalingDecision(
            at=sample.at,
            kind=kind,
            before=sample.workers,
            after=after,
            wanted=self.wanted,
            reason=reason,
            delay_s=sample.delay_s,
            waiting=sample.waiting,
            rate=self.estimate.rate,
            cost_s=self.estimate.cost_s,
        )
        self.counts[kind] += 1
        self.decisions.append(decision)
        if kind == LIMITED:
            self._limited_at = sample.at
        else:
            self._limited_at, self._same_since = None, sample.at
            self.estimate.forget_delays()
        return decision


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 10 else f"{seconds:.3g} s"
