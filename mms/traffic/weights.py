"""Shares of the requests for each of several models."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mms.text.brief import brief


def check_weights(weights: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Return the weights as numbers. Raises ValueError for what is no weight."""
    if weights is None:
        return None
    if not isinstance(weights, Mapping):
        raise ValueError(f"weights must be a dict of models and numbers, not {brief(weights)}")
    for model, weight in weights.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not math.isfinite(weight) or weight < 0:
            raise ValueError(f"the weight of model {model} is {brief(weight)}, must be 0 or more")
    return dict(weights)


def check_shares(weights: Any, models: Sequence[str]) -> dict[str, float]:
    """Return the shares of the models; equal ones where none are given. Raises ValueError."""
    found = check_weights(weights)
    if found is None:
        return dict.fromkeys(models, 1.0)
    unknown = [model for model in found if model not in models]
    if unknown:
        raise ValueError(
            f"weights name models that the router does not have: {', '.join(unknown)}; "
            f"it has {', '.join(models)}"
        )
    if math.fsum(found.values()) <= 0:
        raise ValueError("weights are all 0: no model would get a request")
    return found


def choose_weighted(weights: Mapping[str, float], point: float) -> str:
    """Return the model in whose share `point`, 0 <= point < 1, lies."""
    total = math.fsum(weights.values())
    rest = point * total
    chosen = ""
    for model, weight in weights.items():
        if weight <= 0:
            continue
        chosen = model
        if rest < weight:
            break
        rest -= weight
    return chosen


def point_of(key: Any) -> float:
    """Return a number, 0 <= point < 1, that is the same for the same key, in every process."""
    digest = hashlib.blake2b(str(key).encode("utf-8", "replace"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
