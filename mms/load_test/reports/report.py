"""The report of a load test: made of results, written as JSON and read again."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from typing import Any, Final

from mms.load_test.goal import LatencyGoal
from mms.load_test.latencies import LatencyHistogram
from mms.load_test.plan import LoadPlan
from mms.load_test.results import LoadResult
from mms.load_test.saturation import Saturation
from mms.load_test.schedules import ClosedLoop, ConstantArrivals, Schedule
from mms.text.brief import brief

FORMAT: Final = "mms-bench/1"
#: What is shown of a distribution, in per cent.
PERCENTILES: Final = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
#: A report's file is read whole.
MOST_BYTES: Final = 64 * 1024 * 1024
#: The generator is late by its own fault where a hundredth of the requests was sent later than this share of the
#: median latency, and than this many seconds.
_LATE_SHARE: Final = 0.2
_LATE_S: Final = 0.002
_LARGEST: Final = 1e18
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400


class InvalidReport(ValueError):
    """A file that is no report. The message says why."""


@dataclass(frozen=True, slots=True)
class Point:
    """A piece of the timeline. Latencies in milliseconds; None where there was no right answer."""

    start_s: float
    seconds: float
    answers: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A load of the search. `goal_ms`: the latency at the goal's percentile; None: too many requests failed for one."""

    rate: float
    held: bool
    goal_ms: float | None
    requests: int
    errors: int
    is_given_up: bool


@dataclass(slots=True)
class Report:
    """Members are the keys of the JSON."""

    target: str
    #: Such as `100 requests/s (Poisson)` or `10 clients`.
    load: str
    #: Requests a second that were due; None for a closed loop.
    rate: float | None = None
    clients: int | None = None
    #: When it was made, in ISO 8601.
    time: str = ""
    tool: str = ""
    machine: str = ""
    name: str = ""
    method: str = "POST"
    bodies: int = 1
    body_bytes: float = 0.0
    content_types: list[str] = field(default_factory=list)
    duration_s: float = 0.0
    warm_up_s: float = 0.0
    requests: int = 0
    answers_per_s: float = 0.0
    received_bytes: int = 0
    connections: int = 0
    is_stopped: bool = False
    errors: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    #: From when a request was due.
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    #: From when it was sent.
    service_times: LatencyHistogram = field(default_factory=LatencyHistogram)
    #: Of a closed loop: with the requests that waiting clients did not send.
    corrected: LatencyHistogram | None = None
    #: What of the latencies may be the generator's, in milliseconds.
    generator_late_p99_ms: float = 0.0
    timeline: list[Point] = field(default_factory=list)
    goal: str | None = None
    goal_limit_ms: float | None = None
    goal_percent: float | None = None
    goal_held: bool | None = None
    capacity_per_s: float | None = None
    #: Requests a second; 0: the goal held at no rate. None: nobody searched.
    highest_rate: float | None = None
    is_search_complete: bool = True
    trials: list[Trial] = field(default_factory=list)

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that so many per cent of all requests do not exceed; infinite where they failed."""
        counted = self.corrected or self.latencies
        failed = sum(self.errors.values())
        answered = self.latencies.count
        if not answered:
            return math.inf if failed else math.nan
        if percent >= 100:
            return math.inf if failed else counted.max_s * 1000
        share = percent / 100 * (1 + failed / answered)
        return counted.percentile(share) * 1000 if share <= 1 else math.inf

    @property
    def error_share(self) -> float:
        failed = sum(self.errors.values())
        total = failed + self.latencies.count
        return failed / total if total else 0.0

    def warnings(self) -> list[str]:
        """Return what makes the figures worth less than they look, in sentences."""
        found = []
        median_ms = self.latencies.percentile(0.5) * 1000
        if self.generator_late_p99_ms > max(_LATE_S * 1000, median_ms * _LATE_SHARE):
            found.append(
                f"The load generator itself was late: 1 % of the requests went out {self.generator_late_p99_ms:.1f} ms "
                "or more after they were due. Its machine has too little time for this load."
            )
        redirected = sum(
            count
            for status, count in self.statuses.items()
            if _FIRST_REDIRECT <= int(status) < _FIRST_ERROR
        )
        if redirected:
            found.append(f"{redirected:,} answers were redirects, which are not followed.")
        if self.is_stopped:
            found.append("It was stopped early; what had come until then counts.")
        if self.latencies.count and self.latencies.count < 1000:
            found.append(
                f"With {self.latencies.count:,} answers the highest percentiles are a matter of chance."
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, JSON-able, with the percentiles for those who read it otherwise."""
        members = {member.name: getattr(self, member.name) for member in fields(self)}
        for name in ("latencies", "service_times", "corrected"):
            if members[name] is not None:
                members[name] = members[name].as_dict()
        members["timeline"] = [asdict(point) for point in self.timeline]
        members["trials"] = [asdict(trial) for trial in self.trials]
        shown = {f"p{p:g}": finite(self.percentile_ms(p)) for p in PERCENTILES}
        return {"format": FORMAT, "percentiles_ms": shown, **members}

    @classmethod
    def from_dict(cls, found: Any) -> Report:
        """Raises InvalidReport."""
        if not isinstance(found, Mapping) or found.get("format") != FORMAT:
            raise InvalidReport(f"it does not say format {FORMAT}, as reports of `mms bench` do")
        known = {member.name for member in fields(cls)}
        values = {name: value for name, value in found.items() if name in known}
        try:
            for name in ("latencies", "service_times", "corrected"):
                if values.get(name) is not None:
                    values[name] = LatencyHistogram.from_dict(values[name])
            values["timeline"] = [Point(**each) for each in values.get("timeline", ())]
            values["trials"] = [Trial(**each) for each in values.get("trials", ())]
            made = cls(**values)
            made._check()
        except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise InvalidReport(f"a member of it is not what it should be ({error})") from None
        return made

    def _check(self) -> None:
        """Raises TypeError for a member of another type than reports have: a page is made of them."""
        blank = Report(target="", load="")
        for member in fields(self):
            value, usual = getattr(self, member.name), getattr(blank, member.name)
            if member.name == "goal" or isinstance(usual, str):
                is_right = isinstance(value, str) or (value is None and usual is None)
            elif isinstance(value, LatencyHistogram):
                is_right = usual is None or isinstance(usual, LatencyHistogram)
            elif usual is None or isinstance(usual, int | float):
                is_right = _is_number(value) or (value is None and usual is None)
            else:
                is_right = isinstance(value, type(usual))
            if not is_right:
                raise TypeError(f"{member.name} is {brief(value)}")
        rows: list[Point | Trial] = [*self.timeline, *self.trials]
        figures = [value for row in rows for value in asdict(row).values() if value is not None]
        if not all(map(_is_number, [*figures, *self.errors.values(), *self.statuses.values()])):
            raise TypeError(
                "counts and the rows of the timeline and of the trials have numbers alone"
            )
        if not all(status.isdecimal() for status in self.statuses):
            raise TypeError("statuses are numbers")
        if not all(isinstance(each, str) for each in self.content_types):
            raise TypeError("content types are texts")


def _is_number(value: object) -> bool:
    """Return whether a value is a number that a chart has room for."""
    return isinstance(value, int | float) and -_LARGEST <= value <= _LARGEST


def make_report(
    plan: LoadPlan,
    schedule: Schedule,
    result: LoadResult,
    *,
    where: str,
    tool: str,
    goal: LatencyGoal | None = None,
    saturation: Saturation | None = None,
) -> Report:
    """Return the report of one load; of a search, that of the load at the rate that it found. `where`: the target."""
    is_closed = isinstance(schedule, ClosedLoop)
    made = Report(target=where, load=load_text(schedule), tool=tool)
    made.rate = None if is_closed else float(getattr(schedule, "rate", 0.0))
    made.clients = schedule.clients if isinstance(schedule, ClosedLoop) else None
    made.time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    system = f"{platform.system()} {platform.machine()}"
    made.machine = f"{os.cpu_count()} CPUs, {system}, Python {platform.python_version()}"
    first = plan.requests[0]
    made.method, made.bodies = first.method, len(plan.requests)
    made.body_bytes = sum(len(request.body) for request in plan.requests) / len(plan.requests)
    kinds = {request.headers.get("Content-Type", "") for request in plan.requests}
    made.content_types = sorted(kind for kind in kinds if kind)
    made.duration_s, made.warm_up_s = result.duration_s, plan.warm_up_s
    made.requests, made.answers_per_s = result.requests, result.answers_per_s
    made.received_bytes, made.connections = result.received_bytes, result.most_connections
    made.is_stopped = result.is_stopped
    made.errors = dict(result.errors)
    made.statuses = {str(status): count for status, count in result.statuses.items()}
    made.latencies, made.service_times = result.latencies, result.service_times
    if is_closed:
        made.corrected = result.latencies.corrected(result.latencies.percentile(0.5))
    else:
        late_s = result.lateness.percentile(0.99)
        made.generator_late_p99_ms = 0.0 if math.isnan(late_s) else late_s * 1000
    made.timeline = _points(result)
    if goal is not None:
        made.goal, made.goal_limit_ms = str(goal), goal.limit_s * 1000
        made.goal_percent, made.goal_held = goal.share * 100, result.holds(goal)
    if goal is not None and saturation is not None:
        best = saturation.best
        made.capacity_per_s = saturation.capacity_per_s
        made.highest_rate = best.rate if best else 0.0
        made.is_search_complete = saturation.is_complete
        made.trials = [
            Trial(
                trial.rate,
                trial.held,
                finite(trial.result.percentile(goal.share) * 1000),
                trial.result.requests,
                trial.result.error_count,
                trial.result.is_given_up,
            )
            for trial in saturation.trials
        ]
    return made


def load_text(schedule: Schedule) -> str:
    """Return a schedule in words."""
    if isinstance(schedule, ClosedLoop):
        return f"{schedule.clients} client{'s' * (schedule.clients != 1)} in a closed loop"
    kind = "constant" if isinstance(schedule, ConstantArrivals) else "Poisson"
    return f"{getattr(schedule, 'rate', 0):.4g} requests/s ({kind})"


def finite(value: float) -> float | None:
    """Return a number that JSON has; None for the others."""
    return round(value, 6) if math.isfinite(value) else None


def read_report(text: bytes) -> Report:
    """Raises InvalidReport."""
    if len(text) > MOST_BYTES:
        raise InvalidReport(f"it has more than {MOST_BYTES:,} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidReport(f"it is not JSON ({error})") from None
    return Report.from_dict(found)


def _points(result: LoadResult) -> list[Point]:
    made = []
    for number, interval in enumerate(result.timeline):
        start_s = number * result.interval_s
        seconds = min(result.interval_s, result.duration_s - start_s)
        if seconds <= 0:
            break
        counted = interval.latencies
        made.append(
            Point(
                round(start_s, 6),
                round(seconds, 6),
                counted.count,
                interval.errors,
                finite(counted.percentile(0.5) * 1000),
                finite(counted.percentile(0.99) * 1000),
            )
        )
    return made
