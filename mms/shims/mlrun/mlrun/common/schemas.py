"""Names of modes."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "ModelMonitoringMode": "mms.mlrun.monitoring_mode",
    },
)
