"""Servers of saved models."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

__getattr__, __dir__ = offer(
    __name__,
    {
        "sklearn": ".frameworks.sklearn",
        "xgboost": ".frameworks.xgboost",
        "lgbm": ".frameworks.lgbm",
        "onnx": ".frameworks.onnx",
    },
)
