"""What becomes of sequences whose model does not do as it should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mms.context import Context
from mms.worker.continuous.step_model import StepBatch
from mms.worker.streams.stream import NOT_NOW


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
    batch = StepBatch(model, Context("m", "/model", None, 2, None, "1"), 2)
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


class Ending:
    """Ends sequences between its steps, as one does that watches the time of each."""

    def __init__(self, how: str) -> None:
        self._how = how
        self.admitted: list[Any] = []
        self.stepped: list[str] = []
        self.retired: list[str] = []

    def admit(self, request: Any, context: Context) -> None:
        self.admitted.append(request)

    def step(self, active: list[Any]) -> list[str]:
        self.stepped += [sequence.id for sequence in active]
        self.last = active[0]
        return ["part"] * len(active)

    def retire(self, sequence: Any) -> None:
        self.retired.append(sequence.id)

    def end_last(self) -> None:
        if self._how == "end":
            self.last.end()
        else:
            self.last.fail(ValueError("too late"))


@pytest.mark.parametrize("how", ["end", "fail"])
def test_a_sequence_that_is_ended_between_two_steps_leaves_its_place_to_the_next_one(
    how: str,
) -> None:
    model = Ending(how)
    batch = StepBatch(model, Context("m", "/model", None, 1, None, "1"), 1)
    context = Context("m", "/model", None, 1, None, "1")
    context.request_ids = {0: "first", 1: "second"}
    first, second = batch.handle([{}, {}], context)
    assert [next(first), next(first), next(second)] == [None, "part", NOT_NOW]
    model.end_last()
    # The client of the first one takes nothing just now.
    assert [next(second), next(second)] == [None, "part"]
    assert (model.stepped, model.retired) == (["first", "second"], ["first"])
    with pytest.raises(StopIteration if how == "end" else ValueError):
        next(first)
    assert model.retired == ["first"]
