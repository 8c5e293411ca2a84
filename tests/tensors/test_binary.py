"""The binary form of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mms.tensors.binary import read_binary, write_binary
from mms.tensors.datatypes import BF16, BYTES, DATATYPES, datatype_of, find_datatype
from mms.tensors.errors import InferError

FIXED = [found for found in DATATYPES.values() if found.item_bytes and found.name != BF16]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def round_trip(array: Any, datatype: str, begin: bytes = b"") -> Any:
    data = bytearray(begin) + bytearray(write_binary(array, datatype, "x"))
    size = len(data) - len(begin)
    return read_binary(data, len(begin), size, DATATYPES[datatype], array.shape, "x")


@given(st.data(), st.sampled_from(FIXED), st.integers(0, 9))
def test_arrays_of_every_datatype_keep_their_bits(data: Any, datatype: Any, before: int) -> None:
    array = data.draw(arrays.arrays(datatype.numpy, SHAPES))
    found = round_trip(array, datatype.name, bytes(before))
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable and found.flags.aligned


@given(arrays.arrays(object, SHAPES, elements=st.binary(max_size=5)))
def test_elements_of_bytes_keep_their_zeros_and_lengths(array: Any) -> None:
    assert round_trip(array, BYTES).tolist() == array.tolist()


@given(arrays.arrays("<u2", SHAPES))
def test_bf16_survives_the_32_bits_that_it_is_held_in(halves: Any) -> None:
    found = read_binary(halves.tobytes(), 0, halves.nbytes, DATATYPES[BF16], halves.shape, "x")
    assert found.dtype == np.float32
    again = np.frombuffer(bytes(write_binary(found, BF16, "x")), "<u2").reshape(halves.shape)
    is_nan = np.isnan(found)
    assert (again[~is_nan] == halves[~is_nan]).all()
    assert np.isnan((again[is_nan].astype("<u4") << 16).view("<f4")).all()


def test_bf16_is_rounded_to_the_nearest_not_cut() -> None:
    array = np.array([1.0, 1.00390625, 1.0078125, 1.9999999], np.float32)
    halves = np.frombuffer(bytes(write_binary(array, BF16, "x")), "<u2")
    assert halves.tolist() == [0x3F80, 0x3F80, 0x3F81, 0x4000]


def test_what_is_aligned_and_writable_is_not_copied_unless_it_is_a_small_output() -> None:
    data = bytearray(np.arange(2048, dtype="<f4").tobytes())
    array = read_binary(data, 0, 8192, DATATYPES["FP32"], [2048], "x")
    array[0] = 7
    assert data[:4] == np.float32(7).tobytes()
    assert np.shares_memory(np.frombuffer(write_binary(array, "FP32", "x"), "<f4"), array)


@pytest.mark.parametrize(
    ("name", "shape", "data", "message"),
    [
        ("FP32", [2], bytes(7), "has 7 bytes of data; the shape [2] of FP32 needs 8."),
        ("FP32", [-1], bytes(4), "whole numbers from 0 on are right"),
        ("FP32", [True], bytes(4), "whole numbers from 0 on are right"),
        ("FP32", [1.0], bytes(4), "whole numbers from 0 on are right"),
        ("FP32", "1", bytes(4), "no list of whole numbers from 0 on"),
        ("FP32", [1] * 33, bytes(4), "33 dimensions; 32 are the most"),
        ("FP32", [2**63, 0, 2**63], b"", "which is too large"),
        ("FP32", [2**80], b"", "of FP32 needs"),
        ("FP32", [10**5000], b"", "of FP32 needs"),
        ("BOOL", [2], b"\x01\x02", "has bytes that are neither 0 nor 1"),
        ("BYTES", [1], b"", "need at least 4"),
        ("BYTES", [2**40], bytes(8), "need at least"),
        ("BYTES", [1], b"\x05\0\0\0abcd", "has 5 bytes in element 0, but 4 bytes of data are left"),
        ("BYTES", [1], b"\x03\0\0\0abcd", "has 1 bytes of data left behind its 1 elements"),
        ("BYTES", [2], b"\x04\0\0\0abcd", "data that end before element 1 of 2"),
    ],
)
def test_what_does_not_add_up_is_refused_by_name(
    name: str, shape: Any, data: bytes, message: str
) -> None:
    with pytest.raises(InferError) as raised:
        read_binary(data, 0, len(data), DATATYPES[name], shape, "Input 'x'")
    assert message in raised.value.message
    assert raised.value.message.startswith("Input 'x' has ") or name == "BOOL"
    assert raised.value.status == 400


def test_every_datatype_is_found_by_its_array() -> None:
    for datatype in DATATYPES.values():
        if datatype.name != BF16:
            assert datatype_of(np.dtype(datatype.numpy)) == datatype.name
    assert datatype_of(np.dtype("U3")) == datatype_of(np.dtype("S3")) == BYTES
    assert datatype_of(np.dtype("complex64")) == datatype_of(np.dtype("M8[s]")) == ""


@pytest.mark.parametrize("name", ["fp32", "", None, 3, ["FP32"], "FP32 "])
def test_a_name_that_is_no_datatype_is_refused(name: Any) -> None:
    with pytest.raises(
        InferError, match="Input x has the datatype .*, which is none of BOOL, UINT8"
    ):
        find_datatype(name, "Input x")
