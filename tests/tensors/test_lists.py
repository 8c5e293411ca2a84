"""Lists that clients send, as arrays."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from mms.tensors.lists import array_of_lists

LONG = "x" * 100_000


@pytest.mark.parametrize(
    "values",
    [1, "a", [], [[]], [1, 2.5], [[1, 2], [3, 4]], ["a", "bc"], [["a", 1]], [None, 1], [True, "x"]],
)
def test_ordinary_lists_are_what_numpy_makes_of_them(values: Any) -> None:
    found, wanted = array_of_lists(values), np.array(values)
    assert (found.dtype, found.tolist()) == (wanted.dtype, wanted.tolist())


@pytest.mark.parametrize(
    "values",
    [[LONG, *["y"] * 1000], [[LONG, 1], *[["y", 2]] * 1000], [[[LONG]], *[[["y"]]] * 1000]],
)
def test_one_long_text_takes_no_room_for_each_of_the_others(values: Any) -> None:
    tracemalloc.start()
    try:
        found = array_of_lists(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    assert found.dtype == object
    assert found.tolist() == values


@pytest.mark.parametrize("values", [[[1], [1, 2]], [[LONG], *[["y", "z"]] * 1000], [LONG, [1]]])
def test_rows_of_unequal_length_are_refused_without_room_for_them(values: Any) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="unequal|inhomogeneous"):
            array_of_lists(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
