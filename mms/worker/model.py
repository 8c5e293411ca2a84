"""A loaded model, whatever interface its code is written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.context import Context

EntryPoint = Callable[[Any, Context], Any]


class Model:
    """An entry point and its context. `problem`: the traceback of an error at load that was let pass."""

    __slots__ = ("context", "entry_point", "interface", "problem")

    def __init__(
        self,
        interface: str,
        entry_point: EntryPoint,
        context: Context,
        problem: Exception | None = None,
    ) -> None:
        self.interface = interface
        self.entry_point = entry_point
        self.context = context
        self.problem = problem

    def __repr__(self) -> str:
        return f"<Model {self.context.model_name}, interface {self.interface}>"
