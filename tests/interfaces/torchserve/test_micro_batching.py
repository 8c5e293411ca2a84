"""Micro-batches keep the order of a batch, overlap its stages, and end with the exception of a stage."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("ts_package")


class Handler:
    """Doubles numbers. Its first stage waits, with two slices in it, until both are there."""

    def __init__(self, parties: int = 1) -> None:
        self._together = threading.Barrier(parties)
        self.slices: list[int] = []

    def preprocess(self, data: list[int]) -> list[int]:
        self._together.wait(10)
        return data

    def inference(self, data: list[int]) -> list[int]:
        if 13 in data:
            raise ValueError("13")
        self.slices.append(len(data))
        return [2 * value for value in data]

    def postprocess(self, data: list[int]) -> list[str]:
        return [str(value) for value in data]


@pytest.fixture
def make() -> Iterator[Any]:
    module = importlib.import_module("ts.handler_utils.micro_batching")
    made: list[Any] = []

    def micro(handler: Handler, **options: Any) -> Any:
        made.append(module.MicroBatching(handler, **options))
        return made[-1]

    yield micro
    for each in made:
        each.shutdown()


def test_the_results_are_in_the_order_of_the_batch(make: Any) -> None:
    handler = Handler()
    found = make(handler, micro_batch_size=3).handle(list(range(8)))
    assert found == [str(2 * value) for value in range(8)]
    assert sorted(handler.slices) == [2, 3, 3]


def test_two_threads_of_a_stage_work_at_the_same_time(make: Any) -> None:
    micro = make(Handler(parties=2), parallelism={"preprocess": 2})
    assert micro.handle([1, 2]) == ["2", "4"]


def test_an_exception_of_a_stage_is_the_batchs_and_the_next_one_runs(make: Any) -> None:
    micro = make(Handler())
    with pytest.raises(ValueError, match="13"):
        micro.handle([1, 13, 2])
    assert micro.handle([1]) == ["2"]


def test_threads_come_and_go_with_the_parallelism(make: Any) -> None:
    micro = make(Handler())
    micro.parallelism = {"inference": 3}
    assert len(micro.thread_groups["inference"]) == 3
    micro.parallelism = {"inference": 1}
    assert len(micro.thread_groups["inference"]) == 1
    assert micro.parallelism == {"inference": 1}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"micro_batch_size": 0}, "micro_batch_size is 0"),
        ({"parallelism": {"other": 1}}, "names 'other'"),
        ({"parallelism": {"inference": 0}}, "inference is 0"),
    ],
)
def test_what_would_wait_for_ever_is_refused(
    make: Any, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        make(Handler(), **options)
