"""Models whose class has `admit` and `step` in place of `handle`."""

from __future__ import annotations

from typing import Any, Protocol

from mms.context import Context
from mms.worker.continuous.running_batch import RunningBatch
from mms.worker.continuous.sequence import Sequence
from mms.worker.running.awaiting import is_awaitable, wait_for


class StepModel(Protocol):
    """The code of a model that works in steps. Each of the methods may also be a coroutine function."""

    def admit(self, request: Any, context: Context) -> Any:
        """Take a request in; return the model's own state for it."""

    def step(self, active: list[Sequence]) -> Any:
        """Return a list with a part for each sequence, in their order; None: none in this step."""

    def retire(self, sequence: Sequence) -> Any:
        """Let go of a sequence that has ended, failed, or lost its client. A model need not have it."""


def is_step_model(found: Any) -> bool:
    """Return whether a class, or an object, works in steps."""
    return not hasattr(found, "handle") and all(
        callable(getattr(found, name, None)) for name in ("admit", "step")
    )


class StepBatch(RunningBatch):
    """The running batch of such a model."""

    def __init__(self, model: StepModel, context: Context, places: int) -> None:
        super().__init__(context, places)
        self._model = model

    def _admit(self, request: Any) -> Any:
        return _waited(self._model.admit(request, self._context))

    def _step(self, active: list[Sequence]) -> Any:
        return _waited(self._model.step(active))

    def _retire(self, sequence: Sequence) -> None:
        retire = getattr(self._model, "retire", None)
        if retire is not None:
            _waited(retire(sequence))


def _waited(value: Any) -> Any:
    return wait_for(value) if is_awaitable(value) else value
