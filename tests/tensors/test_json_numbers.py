"""Arrays of what JSON has."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from mms.tensors.datatypes import DATATYPES
from mms.tensors.errors import InferError
from mms.tensors.json_numbers import array_of_json

LONG = "x" * 100_000


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BOOL"])
@pytest.mark.parametrize("data", [["", LONG], [[1], [LONG]], [[[LONG, 0.5]]]])
def test_texts_among_numbers_are_refused_without_room_for_each_element(
    datatype: str, data: list[Any]
) -> None:
    data = data * 20
    tracemalloc.start()
    try:
        with pytest.raises(InferError, match="input a is"):
            array_of_json(data, DATATYPES[datatype], [len(data)], "input a")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
