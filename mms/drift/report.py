"""Drift of each feature and of a model as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mms.drift.measures import hellinger, kullback_leibler, shares, total_variation
from mms.drift.records import columns_of_lines
from mms.drift.reference import Distribution, Reference

POSSIBLE_FROM = 0.5
DETECTED_FROM = 0.7

NOT_ENOUGH = "not enough data"
NO_DRIFT = "no drift"
POSSIBLE = "possible drift"
DETECTED = "drift detected"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The total drift from which a feature is suspected to drift, and from which it does."""

    possible: float = POSSIBLE_FROM
    detected: float = DETECTED_FROM

    def status(self, drift: float | None) -> str:
        if drift is None:
            return NOT_ENOUGH
        if drift >= self.detected:
            return DETECTED
        return POSSIBLE if drift >= self.possible else NO_DRIFT


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """`mean` and so on are of the records, `expected` those of the reference."""

    name: str
    kind: str
    count: int
    tvd: float
    hellinger: float
    kld: float
    mean: float
    std: float
    minimum: float
    maximum: float
    expected: Distribution

    @property
    def drift(self) -> float:
        return (self.tvd + self.hellinger) / 2

    def describe(self, thresholds: Thresholds) -> dict[str, Any]:
        expected = self.expected
        return {
            "name": self.name,
            "kind": self.kind,
            "count": self.count,
            "tvd": self.tvd,
            "hellinger": self.hellinger,
            "kld": self.kld,
            "drift": self.drift,
            "status": thresholds.status(self.drift),
            "actual": {
                "mean": self.mean,
                "std": self.std,
                "min": self.minimum,
                "max": self.maximum,
            },
            "expected": {
                "mean": expected.mean,
                "std": expected.std,
                "min": expected.minimum,
                "max": expected.maximum,
            },
        }


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`missing`: features of the reference that no record has; `unknown`: those of records that it does not have."""

    features: Sequence[FeatureDrift]
    missing: Sequence[str]
    unknown: Sequence[str]
    requests: int
    errors: int
    unread: int
    thresholds: Thresholds = Thresholds()

    @property
    def tvd_mean(self) -> float | None:
        return _mean([feature.tvd for feature in self._compared])

    @property
    def hellinger_mean(self) -> float | None:
        return _mean([feature.hellinger for feature in self._compared])

    @property
    def kld_mean(self) -> float | None:
        return _mean([feature.kld for feature in self._compared])

    @property
    def general_drift(self) -> float | None:
        """The mean of both means, over the inputs; None without a feature to compare."""
        tvd_mean, hellinger_mean = self.tvd_mean, self.hellinger_mean
        if tvd_mean is None or hellinger_mean is None:
            return None
        return (tvd_mean + hellinger_mean) / 2

    @property
    def status(self) -> str:
        return self.thresholds.status(self.general_drift)

    @property
    def _compared(self) -> list[FeatureDrift]:
        return [feature for feature in self.features if feature.kind == "input"]

    def describe(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "status": self.status,
            "general_drift": self.general_drift,
            "tvd_mean": self.tvd_mean,
            "hellinger_mean": self.hellinger_mean,
            "kld_mean": self.kld_mean,
            "requests": self.requests,
            "errors": self.errors,
            "unread": self.unread,
            "features": [feature.describe(self.thresholds) for feature in self.features],
            "missing": list(self.missing),
            "unknown": list(self.unknown),
        }


def measure_drift(
    lines: Iterable[bytes],
    reference: Reference,
    *,
    model: str | None = None,
    thresholds: Thresholds | None = None,
) -> DriftReport:
    """Compare records, JSON texts, with a reference. `model`: other models' records are passed over."""
    columns = columns_of_lines(lines, reference.input_names, reference.outputs, model=model)
    features = [
        *_compare("input", columns.inputs, reference),
        *_compare("output", columns.outputs, reference),
    ]
    found = {feature.name for feature in features}
    known = reference.features
    return DriftReport(
        features,
        missing=[name for name in known if name not in found],
        unknown=[name for name in (*columns.inputs, *columns.outputs) if name not in known],
        requests=columns.requests,
        errors=columns.errors,
        unread=columns.unread,
        thresholds=thresholds or Thresholds(),
    )


def _compare(
    kind: str, columns: Mapping[str, list[float]], reference: Reference
) -> list[FeatureDrift]:
    compared = []
    for name, values in columns.items():
        expected = reference.features.get(name)
        if expected is not None and values:
            compared.append(_drift_of(name, kind, np.asarray(values, np.float64), expected))
    return compared


def _drift_of(
    name: str, kind: str, values: npt.NDArray[np.float64], expected: Distribution
) -> FeatureDrift:
    now, then = shares(expected.count(values)), shares(expected.padded_counts)
    return FeatureDrift(
        name,
        kind,
        len(values),
        total_variation(now, then),
        hellinger(now, then),
        kullback_leibler(now, then),
        float(values.mean()),
        float(values.std()),
        float(values.min()),
        float(values.max()),
        expected,
    )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
