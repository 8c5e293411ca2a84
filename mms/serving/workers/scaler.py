"""Looks at the models whose workers come and go by load, and has their decisions carried out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from mms import faults
from mms.core.scaling.load_sample import sample_load
from mms.core.scaling.policy import DOWN, UP, ScalingDecision, ScalingTarget
from mms.observe import events
from mms.serving.workers.allowance import CpuUse, allowance_of

if TYPE_CHECKING:
    from mms.serving.served import PooledModel, ServedModel

#: How often each model is looked at, in seconds.
_LOOK_S = 0.25

#: Starts so many more workers of a model, or stops all but so many.
ChangeCount = Callable[["PooledModel", int], object]


def target_of(served: PooledModel) -> ScalingTarget:
    """What a model was registered and scaled for."""
    pool, options = served.pool, served.effective
    return ScalingTarget(
        pool.min_workers,
        pool.max_workers,
        (options.scale_target_ms or 0) / 1000,
        options.idle_ttl_s or 0.0,
    )


class Scaler:
    """One timer for all models; it runs only while there are models with workers that may go or become more."""

    def __init__(self, grow: ChangeCount, shrink: ChangeCount, most_workers: int) -> None:
        """`most_workers`: that any model may have."""
        self._grow = grow
        self._shrink = shrink
        self._most_workers = most_workers
        self._followed: dict[PooledModel, CpuUse] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Scaler of {len(self._followed)} models>"

    def follow(self, served: PooledModel) -> None:
        """A model has workers, or is scaled otherwise: look at it as long as its workers may come and go by load."""
        if self._is_closed or served in self._followed or not target_of(served).is_active:
            return
        self._followed[served] = CpuUse()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def close(self) -> None:
        """Decide nothing any more."""
        self._is_closed = True
        self._followed.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for served, use in list(self._followed.items()):
            with faults.contained("scaling", served.name, served.version):
                if (
                    served.model.is_closed
                    or not served.pool.active
                    or not target_of(served).is_active
                ):
                    del self._followed[served]
                    served.scaling.restart()
                    continue
                self._decide(served, use, now)
        if self._followed and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _decide(self, served: PooledModel, use: CpuUse, now: float) -> None:
        use.observe(served.model.workers, now)
        decision = served.scaling.decide(
            sample_load(served.model, now),
            target_of(served),
            lambda: allowance_of(served, use, self._most_workers),
        )
        if decision is None:
            return
        events.model_scaled(served.name, served.full_name, decision)
        if decision.kind == UP:
            self._grow(served, decision.after - decision.before)
        elif decision.kind == DOWN:
            self._shrink(served, decision.after)


def describe_scaling(served: ServedModel) -> dict[str, Any]:
    """Return what was decided of a model's workers, with the numbers and reasons: JSON-able."""
    # Here, as a served model knows its policy.
    from mms.serving.served import with_workers

    model = with_workers(served, "ask for the scaling of")
    target, policy = target_of(model), model.scaling
    estimate = policy.estimate
    found: dict[str, Any] = {"modelName": model.name}
    if model.version is not None:
        found["modelVersion"] = model.version
    found |= {"isScaledByLoad": target.is_active}
    if not target.is_active:
        found["reason"] = _why_not(target)
    sample = sample_load(model.model, time.monotonic())
    return found | {
        "minWorkers": target.min_workers,
        "maxWorkers": target.max_workers,
        "scaleTarget": _ms(target.delay_s),
        "idleTtl": target.idle_ttl_s,
        "workers": sample.workers,
        "comingWorkers": sample.coming,
        "wantedWorkers": policy.wanted if target.is_active else sample.workers,
        "queueDelay": _ms(sample.delay_s),
        "waitingRequests": sample.waiting,
        "requestsPerSecond": round(estimate.rate, 3),
        "workerTimePerRequest": _ms(estimate.cost_s),
        "decisions": [_describe(decision) for decision in reversed(policy.decisions)],
    }


def _why_not(target: ScalingTarget) -> str:
    if target.max_workers <= target.min_workers:
        return "max_worker is not above min_worker."
    return "Neither scale_target_ms nor idle_ttl_s is set."


def _describe(decision: ScalingDecision) -> dict[str, Any]:
    at = time.time() - (time.monotonic() - decision.at)
    return {
        "time": datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds"),
        "decision": decision.kind,
        "before": decision.before,
        "after": decision.after,
        "wanted": decision.wanted,
        "reason": decision.reason,
        "queueDelay": _ms(decision.delay_s),
        "waitingRequests": decision.waiting,
        "requestsPerSecond": round(decision.rate, 3),
        "workerTimePerRequest": _ms(decision.cost_s),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
