"""The logger of scripts and classes."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "logger": "mms.mlrun.scripts",
        "create_logger": "mms.mlrun.scripts",
    },
)
