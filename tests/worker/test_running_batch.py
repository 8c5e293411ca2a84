"""What becomes of sequences whose model does not do as it should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mms.context import Context
from mms.worker.continuous.step_model import StepBatch


class Model:
    """Raises StopIteration, as a `next` without a default does."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._steps = 0

    def admit(self, request: Any, context: Context) -> None:
        if self._where == "admit":
            next(iter(()))

    def step(self, active: list[Any]) -> list[str]:
        self._steps += 1
        if self._where == "fail":
            active[0].fail(StopIteration())
        elif self._where == "step" and self._steps == 2:
            next(iter(()))
        return ["part"] * len(active)


def parts_of(model: Model) -> Iterator[Any]:
    batch = StepBatch(model, Context("m", "/model", None, 2, None, "1"))
    context = Context("m", "/model", None, 2, None, "1")
    context.request_ids = {0: "id"}
    [parts] = batch.handle([{}], context)
    return parts


@pytest.mark.parametrize("where", ["admit", "step", "fail"])
def test_a_stop_iteration_of_the_models_code_is_a_failure_and_no_end_of_an_answer(
    where: str,
) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(parts_of(Model(where)))
