"""The parameters of a scaling that a registration does not have, each once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mms.registration.kind import TEXT, WAITS, count_of, whole
from mms.registration.options import Options
from mms.registration.parameter import SCALE, Shown, parameter


@dataclass(frozen=True, slots=True)
class ScaleParameters(Options):
    """How many workers a model is to have."""

    title: ClassVar[str] = "Of PUT alone"

    min_worker: int | None = parameter(
        "min_worker",
        whole(None, count_of),
        "Workers are started up to it.",
        "A call without parameters scales to exactly one.",
        default="1",
        routes=(SCALE,),
        flag=None,
        shown=Shown("minWorkers", is_of_model=True),
    )
    max_worker: int | None = parameter(
        "max_worker",
        whole(None, count_of),
        "Workers beyond it are stopped, the newest first.",
        otherwise="`min_worker`",
        routes=(SCALE,),
        flag="--max",
        shown=Shown("maxWorkers", is_of_model=True),
    )
    synchronous: bool | None = parameter(
        "synchronous",
        WAITS,
        "Whether the call waits until the workers have loaded, and those on their way out have ended.",
        default="false",
        routes=(SCALE,),
        flag="--wait/--no-wait",
    )
    model_version: str | None = parameter(
        "model_version",
        TEXT,
        "The version that is meant.",
        otherwise="the version of the path, or the default",
        routes=(SCALE,),
        flag="--version",
        is_new=True,
    )
