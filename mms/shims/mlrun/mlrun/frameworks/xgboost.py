"""Serves what xgboost trained."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "XGBoostModelServer": "mms.mlrun.framework_servers:PickleModelServer",
        "PickleModelServer": "mms.mlrun.framework_servers",
    },
)
