"""Chooses the status of its error."""

from __future__ import annotations

from mms.service import PredictionException


def handle(data, context):
    if data is not None:
        raise PredictionException("Some Prediction Error", 599)
    return ["OK"]
