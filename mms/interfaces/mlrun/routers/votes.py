"""What an ensemble makes of its models' outputs. No input or output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mms.text.brief import brief

CLASSIFICATION = "classification"
REGRESSION = "regression"
VOTE_KINDS = (CLASSIFICATION, REGRESSION)


def weights_of(
    models: Sequence[str], weights: Mapping[str, float] | None, is_normalized: bool = True
) -> list[float]:
    """Return the weights of the models that answered, in their order: those that are not named have none.

    Normalized they sum to 1; equal ones, where none are given, always do. Raises ValueError where all are 0.
    """
    if weights is None:
        return [1 / len(models)] * len(models)
    found = [float(weights.get(model, 0)) for model in models]
    total = math.fsum(found)
    if total <= 0:
        raise ValueError(f"the weights of the models that answered, {', '.join(models)}, are all 0")
    return [weight / total for weight in found] if is_normalized else found


def kind_of(rows: Any) -> str:
    """Return `classification` where all values are whole numbers, text or truth values, else `regression`."""
    if isinstance(rows, list | tuple):
        for row in rows:
            if kind_of(row) == REGRESSION:
                return REGRESSION
        return CLASSIFICATION
    if isinstance(rows, float):
        return CLASSIFICATION if rows.is_integer() else REGRESSION
    return CLASSIFICATION


def vote(rows: Sequence[Any], weights: Sequence[float], kind: str) -> Any:
    """Return one output of the outputs of all models: by most weight, or the weighted sum, for each of their elements.

    rows: [models], each a value or nested lists of one shape. weights: [models].
    Ties go to the smallest class. Raises ValueError for shapes that differ and values that are no numbers.
    """
    if isinstance(rows[0], list | tuple):
        lengths = [len(row) if isinstance(row, list | tuple) else -1 for row in rows]
        if len(set(lengths)) > 1:
            counts = ", ".join("none" if length < 0 else str(length) for length in lengths)
            raise ValueError(
                f"the models of the ensemble differ in their counts of outputs: {counts}"
            )
        return [vote(values, weights, kind) for values in zip(*rows, strict=True)]
    if kind == CLASSIFICATION:
        return _most_weight(rows, weights)
    try:
        return math.fsum(value * weight for value, weight in zip(rows, weights, strict=True))
    except TypeError:
        raise ValueError(
            f"outputs that are no numbers have no average: {brief(list(rows))}"
        ) from None


def _most_weight(values: Sequence[Any], weights: Sequence[float]) -> Any:
    totals: dict[Any, float] = {}
    for value, weight in zip(values, weights, strict=True):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, list | tuple | dict):
            raise ValueError("the models of the ensemble differ in the shapes of their outputs")
        totals[value] = totals.get(value, 0.0) + weight
    most = max(totals.values())
    # Sums of the same weights in another order differ in their last digits.
    best = [value for value, total in totals.items() if math.isclose(total, most, rel_tol=1e-9)]
    try:
        return min(best)
    except TypeError:
        return min(best, key=str)
