"""The model as a class of Seldon's wrapper, which wants the file named as the class."""

from __future__ import annotations

import os
from typing import Any

from work import load_work

IS_DIGITS = os.environ["BENCH_WORK"] == "digits"


class SeldonModel:
    def __init__(self) -> None:
        self._work = load_work()

    def predict(self, data: Any, names: Any, meta: Any = None) -> Any:
        """Predict. `data` is an array of images for digits, else the string of the request."""
        if IS_DIGITS:
            return [result["digit"] for result in self._work([{"image": image} for image in data])]
        return self._work([data])[0]

    def health_status(self) -> str:
        return "OK"
