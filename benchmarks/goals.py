"""What this server is held to, and how far each figure of a run is from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.cells import FIXED_SIZES, GOALS_MS, REAL_MODELS, fixed_cell
from benchmarks.records import Records
from benchmarks.statistics import Summary, ratio

OWN = "ours"
Verdict = Literal["aim reached", "held", "missed", "not measured"]
Measure = Callable[[Records], "float | None"]


@dataclass(frozen=True)
class Goal:
    """`bound` is the least, or the most, that is acceptable; `aim` what is hoped for."""

    cell: str
    text: str
    measure: Measure
    bound: float
    aim: float | None = None
    is_at_least: bool = True
    unit: str = " x"

    def verdict(self, value: float | None) -> Verdict:
        if value is None:
            return "not measured"
        if self.aim is not None and self._is_reached(value, self.aim):
            return "aim reached"
        return "held" if self._is_reached(value, self.bound) else "missed"

    def wanted(self) -> str:
        word = "at least" if self.is_at_least else "at most"
        aim = f" (aim {self.aim:g})" if self.aim is not None else ""
        return f"{word} {self.bound:g}{self.unit}{aim}"

    def _is_reached(self, value: float, bound: float) -> bool:
        return value >= bound if self.is_at_least else value <= bound


def against(cell: str, figure: str, peer: str) -> Measure:
    """Return ours divided by the peer's, in one cell."""
    return lambda records: _ratio(
        records.summary(cell, OWN, figure), records.summary(cell, peer, figure)
    )


def between(cell: str, other_cell: str, figure: str) -> Measure:
    """Return ours in one cell divided by ours in another."""
    return lambda records: _ratio(
        records.summary(cell, OWN, figure), records.summary(other_cell, OWN, figure)
    )


def within(cell: str, figure: str, other_figure: str) -> Measure:
    return lambda records: _ratio(
        records.summary(cell, OWN, figure), records.summary(cell, OWN, other_figure)
    )


def alone(cell: str, figure: str) -> Measure:
    return lambda records: records.median(cell, OWN, figure)


def most(cell: str, figure: str) -> Measure:
    def measure(records: Records) -> float | None:
        summary = records.summary(cell, OWN, figure)
        return None if summary is None else summary.highest

    return measure


def inverse(measure: Measure) -> Measure:
    def inverted(records: Records) -> float | None:
        value = measure(records)
        return None if value is None else (1 / value if value else float("inf"))

    return inverted


def _ratio(ours: Summary | None, theirs: Summary | None) -> float | None:
    return None if ours is None or theirs is None else ratio(ours, theirs)


def _goals() -> list[Goal]:
    rate, p50, p99 = "requests_per_s", "p50_ms", "p99_ms"
    many = "throughput at 1,000 connections against 64"
    goals = [
        Goal("b32-c64", "throughput against mosec", against("b32-c64", rate, "mosec"), 1.7, 2.0),
        Goal("b32-c64", "p99 against mosec", against("b32-c64", p99, "mosec"), 1.0, None, False),
        Goal("b32-c64", "throughput against AWS MMS", against("b32-c64", rate, "mms"), 3.5),
        Goal(
            "b32-c64",
            "throughput against Triton's Python backend",
            against("b32-c64", rate, "triton"),
            2.5,
        ),
        Goal("b1-c64", "throughput against mosec", against("b1-c64", rate, "mosec"), 4.0, 5.0),
        Goal("b1-c64", "p99 against mosec", against("b1-c64", p99, "mosec"), 0.5, None, False),
        Goal("b1-c64", "throughput against AWS MMS", against("b1-c64", rate, "mms"), 6.0),
        Goal("b1-w2", "throughput against mosec", against("b1-w2", rate, "mosec"), 2.0, 2.7),
        Goal("b1-c1", "p50 against mosec", against("b1-c1", p50, "mosec"), 0.85, 0.8, False),
        Goal("b1-c1", "p99 against mosec", against("b1-c1", p99, "mosec"), 1.2, None, False),
        Goal("b32-c1", "p50 against batch 1", between("b32-c1", "b1-c1", p50), 1.1, 1.0, False),
        Goal(
            "b32-c1",
            "mosec's p50 against ours",
            inverse(against("b32-c1", p50, "mosec")),
            30,
        ),
        Goal("b1-c1000", many, between("b1-c1000", "b1-c64", rate), 0.9),
        Goal("b32-c1000", many, between("b32-c1000", "b32-c64", rate), 0.9),
        Goal("b32-c1000", "throughput against mosec", against("b32-c1000", rate, "mosec"), 1.5),
        Goal(
            "b32-c1000", "p99 against mosec", against("b32-c1000", p99, "mosec"), 1.2, None, False
        ),
        Goal("b1-c1000", "errors", most("b1-c1000", "errors"), 0, None, False, ""),
        Goal("b32-c1000", "errors", most("b32-c1000", "errors"), 0, None, False, ""),
        Goal(
            "body-1MiB", "throughput against mosec", against("body-1MiB", rate, "mosec"), 1.0, 1.5
        ),
        Goal("body-8MiB", "throughput against mosec", against("body-8MiB", rate, "mosec"), 1.0),
        Goal("b1-c64", "p99 against p50", within("b1-c64", p99, p50), 2.5, 2.0, False),
        Goal("b32-c64", "p99 against p50", within("b32-c64", p99, p50), 2.5, 2.0, False),
        Goal("start", "AWS MMS's start-up against ours", _start_ratio, 1.5, 2.5),
        Goal(
            "start",
            "start-up to the first answer",
            alone("start", "start_s"),
            0.8,
            None,
            False,
            " s",
        ),
        Goal("start", "RSS of the front", most("start", "rss_mib_front"), 70, None, False, " MiB"),
        Goal("start", "RSS of a worker", most("start", "rss_mib_worker"), 25, None, False, " MiB"),
        Goal(
            "million",
            "growth of the front's RSS, first to last 100,000 of a million requests",
            most("million", "growth_mib"),
            5,
            0,
            False,
            " MiB",
        ),
        Goal(
            "models-1000",
            "throughput against ten models alone",
            between("models-1000", "models-10", rate),
            0.95,
        ),
    ]
    goals += _on_demand_goals()
    for name, bound in (
        ("rest-1x64", 5),
        ("rest-1000x64", 3),
        ("grpc-1x64", 3),
    ):
        for connections in (1, 64):
            cell = f"seldon-{name}-c{connections}"
            goals.append(
                Goal(
                    cell,
                    "throughput against Seldon's wrapper",
                    against(cell, rate, "seldon"),
                    bound,
                )
            )
    for connections in (1, 64):
        cell, other = f"mlrun-infer-c{connections}", f"mlrun-handler-c{connections}"
        text = "throughput of a class of MLRun against the same as a handler"
        goals.append(Goal(cell, text, between(cell, other, rate), 0.6))
    # Of models that take no time an ensemble has the time of three requests, so that it is shown and not judged.
    for duration_ms in (1, 10):
        cell, other = f"mlrun-ensemble-{duration_ms}ms", f"mlrun-child-{duration_ms}ms"
        text = "latency of an ensemble of three against its slowest model alone"
        goals.append(Goal(cell, text, between(cell, other, p50), 1.6, None, False))
    for batch_size, least in ((1, 0.85), (32, 0.92)):
        on, off = f"b{batch_size}-c64", f"b{batch_size}-quiet"
        text = "throughput with logs and metrics against without"
        goals.append(Goal(on, text, between(on, off, rate), least))
        idle = f"idle-b{batch_size}"
        goals.append(Goal(idle, "throughput against mosec", against(idle, rate, "mosec"), 1.0))
        goals.append(Goal(idle, "errors", most(idle, "errors"), 0, None, False, ""))
    return _adaptive_goals() + goals + _tensor_goals()


def _adaptive_goals() -> list[Goal]:
    return [
        Goal(
            f"real-{kind}",
            f"rate with p99 up to {goal_ms} ms, against the best fixed batch size",
            _against_best_fixed(kind, f"rate_{goal_ms}ms"),
            0.95,
        )
        for kind, _ in REAL_MODELS
        for goal_ms in GOALS_MS
    ]


def _against_best_fixed(kind: str, figure: str) -> Measure:
    def measure(records: Records) -> float | None:
        adaptive = records.median(f"real-{kind}", OWN, figure)
        fixed = [records.median(fixed_cell(kind, size), OWN, figure) for size in FIXED_SIZES]
        best = max((rate for rate in fixed if rate is not None), default=0.0)
        return adaptive / best if adaptive is not None and best else None

    return measure


def _tensor_goals() -> list[Goal]:
    goals = []
    for name in ("json-1x64", "binary-1x64", "binary-4MiB", "grpc-1x64"):
        for connections in (1, 64):
            cell = f"oip-{name}-c{connections}"
            text = "throughput against Triton's Python backend"
            goals.append(Goal(cell, text, against(cell, "requests_per_s", "triton"), 1.5))
            # MLServer has no binary form over REST.
            if not name.startswith("binary"):
                text = "throughput against MLServer"
                goals.append(Goal(cell, text, against(cell, "requests_per_s", "mlserver"), 5))
    return goals


def _on_demand_goals() -> list[Goal]:
    cold, memory, traffic = "cold-first-answer", "memory-per-model", "zipf-1000-10"
    return [
        Goal(cold, "median", alone(cold, "cold_p50_ms"), 100, None, False, " ms"),
        Goal(cold, "AWS MMS's against ours", inverse(against(cold, "cold_p50_ms", "mms")), 8),
        Goal(
            "cold-first-answer-spawned",
            "processor time against AWS MMS's",
            _spawned_processor_time,
            1.0,
            None,
            False,
        ),
        Goal(memory, "one more model", alone(memory, "mib_per_model"), 8, None, False, " MiB"),
        Goal(
            memory, "AWS MMS's against ours", inverse(against(memory, "mib_per_model", "mms")), 10
        ),
        Goal(
            traffic, "median of the misses", alone(traffic, "miss_p50_ms"), 150, None, False, " ms"
        ),
        Goal(traffic, "errors", most(traffic, "errors"), 0, None, False, ""),
        Goal("zipf-1000-50", "errors", most("zipf-1000-50", "errors"), 0, None, False, ""),
        Goal("zipf-1000-50", "loaded models", alone("zipf-1000-50", "hot_models"), 200, unit=""),
        Goal(
            "zipf-1000-50",
            "most memory",
            most("zipf-1000-50", "peak_mib"),
            2048,
            None,
            False,
            " MiB",
        ),
    ]


def _spawned_processor_time(records: Records) -> float | None:
    figure = "processor_ms"
    return _ratio(
        records.summary("cold-first-answer-spawned", OWN, figure),
        records.summary("cold-first-answer", "mms", figure),
    )


_start_ratio = inverse(against("start", "start_s", "mms"))
GOALS = _goals()
