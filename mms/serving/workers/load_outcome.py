"""How attempts to have a model loaded end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """How an attempt to have a model loaded ended. `code` and `interface` as in `Loaded`."""

    code: int
    error: str = ""
    traceback: str = ""
    interface: str = ""

    @property
    def is_success(self) -> bool:
        return self.code == 200


#: An attempt that was given up, as the worker was not wanted any more: neither a success nor a failure.
STOPPED = LoadOutcome(499, "worker was stopped")
