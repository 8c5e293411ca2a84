"""What serving needs of it: the names of modes."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

__getattr__, __dir__ = offer(
    __name__,
    {
        "schemas": ".common.schemas",
    },
)
