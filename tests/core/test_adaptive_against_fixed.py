"""The adaptive policy against the best setting of the fixed one, under traffic that is played.

What batches cost was measured, with one thread: a forest of scikit-learn, and ONNX networks for images, for texts of
different lengths, and for photographs that are decoded before. The rates are what the grid of `--full` finds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from support.played_batching import Cost, Size, highest_rate, one, play

from mms.core import ModelConfig

GOAL_S = 0.05
#: How much less than with the best fixed setting the highest rate may be.
SHARE = 0.95
QUEUE = 10**6


def _length(generator: random.Random) -> float:
    return min(128.0, max(4.0, generator.lognormvariate(3.2, 0.7)))


def _encoder(sizes: Sequence[float]) -> float:
    """Texts are padded to the longest one of their batch."""
    return 0.00025 + 0.000009 * len(sizes) * max(sizes)


MODELS: dict[str, tuple[Cost, Size]] = {
    "forest": (lambda sizes: 0.00355 + 0.000035 * len(sizes), one),
    "vision": (lambda sizes: 0.00005 + 0.00227 * len(sizes), one),
    "photo": (lambda sizes: 0.00005 + 0.00345 * len(sizes), one),
    "encoder": (_encoder, _length),
}


class Best(NamedTuple):
    """The fixed setting with the highest rate at which p99 is 50 ms at most."""

    model: str
    workers: int
    batch_size: int
    max_batch_delay_s: float
    rate: float


BEST = [
    Best("forest", 1, 32, 0.001, 6768),
    Best("forest", 2, 32, 0.001, 13537),
    Best("vision", 1, 3, 0.001, 394),
    Best("vision", 2, 3, 0.001, 842),
    Best("photo", 1, 1, 0.0, 239),
    Best("photo", 2, 2, 0.005, 545),
    Best("encoder", 1, 2, 0.001, 1815),
    Best("encoder", 2, 2, 0.001, 3630),
]


def _adaptive() -> ModelConfig:
    return ModelConfig(batch_size=32, batch_policy="adaptive", queue_capacity=QUEUE)


def _in_time(latencies: list[float], requests: int) -> float:
    return sum(latency <= GOAL_S for latency in latencies) / (requests - requests // 10)


@pytest.mark.parametrize("best", BEST, ids=lambda best: f"{best.model}-{best.workers}")
def test_adaptive_holds_p99_at_nearly_the_rate_of_the_best_fixed_setting(best: Best) -> None:
    cost, size = MODELS[best.model]
    rate = best.rate * SHARE
    requests = max(3000, int(rate))
    options = {"workers": best.workers, "size": size, "noise": 0.05, "requests": requests}
    latencies = play(_adaptive(), cost, rate, give_up_s=GOAL_S, **options)  # type: ignore[arg-type]
    assert _in_time(latencies, requests) >= 0.99


def test_adaptive_keeps_the_first_of_a_burst_from_waiting_for_the_last_where_items_are_what_costs() -> (
    None
):
    cost, size = MODELS["vision"]
    options = {"workers": 1, "burst": 8, "requests": 4000}
    alone = play(ModelConfig(queue_capacity=QUEUE), cost, 140, size=size, **options)  # type: ignore[arg-type]
    adaptive = play(_adaptive(), cost, 140, size=size, **options)  # type: ignore[arg-type]
    for share in (0.5, 0.99):
        at = int(len(alone) * share)
        assert adaptive[at] <= 1.1 * alone[at]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("workers", [1, 2])
def test_adaptive_is_near_the_best_of_a_grid_of_fixed_settings(
    is_full: bool, model: str, workers: int
) -> None:
    if not is_full:
        pytest.skip("takes minutes, and runs with --full")
    cost, size = MODELS[model]
    start = next(best.rate for best in BEST if (best.model, best.workers) == (model, workers))
    options = {"workers": workers, "size": size, "noise": 0.05}
    best = 0.0
    for batch_size in (1, 2, 4, 8, 16, 32):
        for delay_s in (0.0, 0.001, 0.005, 0.02) if batch_size > 1 else (0.0,):
            fixed = ModelConfig(
                batch_size=batch_size,
                max_batch_delay_s=delay_s,
                batch_policy="fixed",
                queue_capacity=QUEUE,
            )
            best = max(best, highest_rate(fixed, cost, GOAL_S, start, **options))
    assert highest_rate(_adaptive(), cost, GOAL_S, start, **options) >= SHARE * best
