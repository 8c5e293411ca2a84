"""The logger of scripts and classes."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

__getattr__, __dir__ = offer(
    __name__,
    {
        "create_logger": "mms.mlrun.scripts",
        "logger": "mms.mlrun.scripts",
        "Logger": "mms.mlrun.logger",
        "StepToDict": "mms.mlrun.step_dict",
        "helpers": ".utils.helpers",
    },
)
