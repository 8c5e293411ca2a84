"""What the model does, the same in every server. Variables choose it; no packages but for what loads a model."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

Work = Callable[[list[Any]], list[Any]]
#: They take bodies of octets, and give texts.
REAL_MODELS = ("forest", "vision", "encoder", "photo")
#: What `stream` answers each request with, and how many of them one after the other.
STREAM_PART = os.environ["BENCH_STREAM_PART"]
STREAM_PARTS = int(os.environ["BENCH_STREAM_PARTS"])


def load_work() -> Work:
    """Return a function that takes a batch of inputs and gives as many answers.

    `noop`, `sleep` and `busy` ignore the inputs and answer "OK". `digits` takes the parsed JSON of each
    request and gives `{"digit": n}`. `classifier` says besides when it was loaded. `real_models.py` has the others.
    """
    kind = os.environ["BENCH_WORK"]
    duration_s = int(os.environ["BENCH_WORK_MS"]) / 1000
    if kind in ("noop", "stream"):
        # How a stream's parts are sent is the servers' own: their files have it.
        return _answer_at_once
    if kind == "sleep":
        return lambda inputs: _sleep(inputs, duration_s)
    if kind == "busy":
        return lambda inputs: _compute(inputs, duration_s)
    if kind == "digits":
        return _load_digits()
    if kind == "classifier":
        return _load_classifier()
    if kind in REAL_MODELS:
        from real_models import load_real_model

        return load_real_model(kind)
    raise ValueError(
        f"BENCH_WORK is {kind!r}, expected noop, stream, sleep, busy, digits, classifier or a real model"
    )


def _answer_at_once(inputs: list[Any]) -> list[Any]:
    return ["OK"] * len(inputs)


def _sleep(inputs: list[Any], duration_s: float) -> list[Any]:
    time.sleep(duration_s)
    return ["OK"] * len(inputs)


def _compute(inputs: list[Any], duration_s: float) -> list[Any]:
    """Uses up processor time, not wall time: a thread that has to wait for a core computes no less."""
    end_s = time.thread_time() + duration_s
    while time.thread_time() < end_s:
        pass
    return ["OK"] * len(inputs)


def _load_classifier() -> Work:
    classify = _load_digits()
    loaded_at = time.time()
    return lambda inputs: [{**answer, "loaded_at": loaded_at} for answer in classify(inputs)]


def _load_digits() -> Work:
    folder = os.environ["BENCH_DIGITS"]
    sys.path.append(folder)
    import joblib
    import numpy as np
    from digits_handler import read_image

    classifier = joblib.load(os.path.join(folder, "classifier.joblib"))

    def classify(inputs: list[Any]) -> list[Any]:
        images = np.stack([read_image(parsed) for parsed in inputs])
        return [{"digit": int(digit)} for digit in classifier.predict(images)]

    return classify
