"""Nested lists of numbers in protobuf's wire format, read and written as strided arrays.

A `ListValue` of numbers has for each the eleven bytes 0A 09 11 and a little-endian double: an entry
of `values` with a `Value` that has `number_value`. A list within a list is an entry with a `Value`
that has `list_value` (32); entries of equal shape have equal size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mms.bodies.protobuf_wire import read_varint, varint

_NUMBER_HEAD = b"\x0a\x09\x11"
_ENTRY_BYTES = len(_NUMBER_HEAD) + 8
_VALUES_TAG = 0x0A
_LIST_TAG = 0x32


def list_of_numbers(array: np.ndarray[Any, Any]) -> bytes:
    """Return the content of a ListValue with an array of one axis or more, its numbers as doubles."""
    numbers = np.ascontiguousarray(array, dtype="<f8")
    *outer, innermost = array.shape
    blocks = np.empty((numbers.size, _ENTRY_BYTES), np.uint8)
    blocks[:, : len(_NUMBER_HEAD)] = np.frombuffer(_NUMBER_HEAD, np.uint8)
    blocks[:, len(_NUMBER_HEAD) :] = numbers.reshape(-1, 1).view(np.uint8).reshape(-1, 8)
    size = innermost * _ENTRY_BYTES
    for axis in reversed(range(len(outer))):
        count = math.prod(array.shape[: axis + 1])
        inner = bytes((_LIST_TAG,)) + varint(size)
        head = bytes((_VALUES_TAG,)) + varint(len(inner) + size) + inner
        larger = np.empty((count, len(head) + size), np.uint8)
        larger[:, : len(head)] = np.frombuffer(head, np.uint8)
        larger[:, len(head) :] = blocks.reshape(count, size)
        blocks = larger
        size = (len(head) + size) * array.shape[axis]
    return blocks.tobytes()


def read_list_of_numbers(content: bytes | memoryview) -> np.ndarray[Any, Any] | None:
    """Return the float64 array of a ListValue; None unless it is numbers alone, of equal shape, in this form."""
    # Entries of one size each, so that what the first says of its place holds for all, if all of
    # their heads are equal to its own.
    shape: list[int] = []
    strides: list[int] = []
    start = 0
    size = len(content)
    while size:
        number_end = start + len(_NUMBER_HEAD)
        if content[start:number_end] == _NUMBER_HEAD:
            head_bytes, entry_bytes = len(_NUMBER_HEAD), _ENTRY_BYTES
        else:
            try:
                head_bytes, entry_bytes = _read_list_head(content, start)
            except IndexError:
                return None
        count, rest = divmod(size, entry_bytes) if entry_bytes else (0, 1)
        if rest or not count:
            return None
        shape.append(count)
        strides.append(entry_bytes)
        if not _are_heads_equal(content, start, head_bytes, shape, strides):
            return None
        start += head_bytes
        if entry_bytes == _ENTRY_BYTES and head_bytes == len(_NUMBER_HEAD):
            numbers: np.ndarray[Any, Any] = np.ndarray(shape, "<f8", content, start, strides)
            return numbers.astype(np.float64, order="C")
        size = entry_bytes - head_bytes
    return np.empty((*shape, 0))


def _are_heads_equal(
    content: bytes | memoryview, start: int, head_bytes: int, shape: list[int], strides: list[int]
) -> bool:
    heads = np.ndarray((*shape, head_bytes), np.uint8, content, start, (*strides, 1))
    return bool((heads == np.frombuffer(content, np.uint8, head_bytes, start)).all())


def _read_list_head(content: bytes | memoryview, start: int) -> tuple[int, int]:
    """Return (bytes before the inner list's content, bytes of the entry); (0, 0) for an entry that is no list alone."""
    if content[start] != _VALUES_TAG:
        return 0, 0
    value_bytes, value_at = read_varint(content, start + 1)
    if not value_bytes or content[value_at] != _LIST_TAG:
        return 0, 0
    list_bytes, list_at = read_varint(content, value_at + 1)
    if list_at + list_bytes != value_at + value_bytes:
        return 0, 0
    return list_at - start, list_at + list_bytes - start
