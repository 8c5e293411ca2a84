"""Stands in for nuclio's packages for notebooks, which MLRun's notebooks import first and rarely use."""

from __future__ import annotations

from typing import Any

from mms.interfaces.absent_name import AbsentName


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return AbsentName(
        f"nuclio.{name}",
        f"nuclio.{name} is not available: this server does not use nuclio. Install nuclio-jupyter where the model runs",
    )
