"""The short way for arrays of numbers writes the very bytes of the long one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mms.interfaces.seldon.codec.array_answers import array_answer
from mms.interfaces.seldon.codec.forms import Form
from mms.interfaces.seldon.codec.json_encoding import encode_json
from mms.interfaces.seldon.codec.json_text import dump_json

TAKEN = {
    "integers": np.arange(6).reshape(2, 3),
    "floats": np.array([[0.1, 1e300, -0.0, 1e16, 1e22, 123456.789]]),
    "one axis": np.arange(3.0),
    "three axes": np.zeros((2, 2, 2)),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((2, 0)),
    "unsigned": np.array([2**64 - 1], np.uint64),
    "bytes": np.array([[255]], np.uint8),
}
LEFT = {
    "no axes": np.array(3.0),
    "transposed": np.arange(6).reshape(2, 3).T,
    "big endian": np.array([[1, 2]], ">i4"),
    "truths": np.array([[True]]),
    "float32": np.array([[0.1]], np.float32),
    "texts": np.array(["a"]),
}
NAMES: list[Any] = [None, ["a", "é"], ("x",)]


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize("form", [Form.NDARRAY, Form.TENSOR, Form.NONE])
@pytest.mark.parametrize("strict", [False, True])
def test_both_ways_write_the_same_bytes(kind: str, form: Form, strict: bool) -> None:
    array = TAKEN[kind]
    for names in NAMES:
        for meta in ({}, {"tags": {"é": [1.5, None]}, "puid": "p"}):
            short = array_answer(array, form, lambda names=names: names, meta, strict)
            message = encode_json(array, form, lambda names=names: names, meta)
            assert short == dump_json(message, strict)


@pytest.mark.parametrize("kind", LEFT)
def test_other_arrays_go_the_long_way(kind: str) -> None:
    assert array_answer(LEFT[kind], Form.NDARRAY, lambda: None, {}, False) is None


def test_what_is_not_finite_goes_the_long_way_in_strict_mode_alone() -> None:
    array = np.array([np.nan])
    assert array_answer(array, Form.NDARRAY, lambda: None, {}, True) is None
    short = array_answer(array, Form.NDARRAY, lambda: None, {}, False)
    assert short == b'{"data":{"names":[],"ndarray":[null]},"meta":{}}\n'
    assert array_answer(np.arange(2), Form.TFTENSOR, lambda: None, {}, False) is None
