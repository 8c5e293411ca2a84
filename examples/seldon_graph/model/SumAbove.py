"""A model small enough to be read: 1 for each row whose sum is above a threshold, else 0."""

from __future__ import annotations

from typing import Any

import numpy as np


class SumAbove:
    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = float(threshold)

    def predict(self, X: Any, names: Any, meta: Any = None) -> np.ndarray:
        return (np.sum(X, axis=1, keepdims=True) > self.threshold).astype(float)

    def class_names(self) -> list[str]:
        return ["is_above"]
