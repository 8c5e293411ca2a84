"""Has no memory to predict."""

from __future__ import annotations


def handle(data, context):
    if data is not None:
        raise MemoryError("no memory for this prediction")
    return ["OK"]
