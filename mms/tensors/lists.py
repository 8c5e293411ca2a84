"""Nested lists that clients send as numpy reads them, within the memory that they took themselves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from mms.tensors.tensor import Array

#: What texts may take as numpy's own, which gives each element the room of the longest, in bytes.
_MOST_TEXT_BYTES: Final = 16 * 2**20
_BYTES_A_CHARACTER: Final = 4
#: numpy's arrays have no more.
_MOST_AXES: Final = 64
_LISTS: Final = {list}


def array_of_lists(values: Any) -> Array:
    """Return what `numpy.array` makes of lists; texts as objects where one long one would take that much for each.

    Raises as `numpy.array`: ValueError for rows of unequal length, OverflowError.
    """
    if type(values) is not list:
        return np.array(values)
    depth, types = 0, set(map(type, values))
    while types == _LISTS and depth < _MOST_AXES:
        depth += 1
        types = set(map(type, _elements(values, depth)))
    if str not in types or list in types:
        # Numbers alone, or rows of unequal length, which numpy refuses before it makes room for texts.
        return np.array(values)
    elements = list(_elements(values, depth))
    longest = max(len(each) for each in elements if type(each) is str)
    if longest * len(elements) * _BYTES_A_CHARACTER <= _MOST_TEXT_BYTES:
        return np.array(values)
    array: Array = np.array(values, object)
    if list in set(map(type, array.ravel().tolist())):
        raise ValueError("the rows are of unequal length")
    return array


def _elements(values: Iterable[Any], depth: int) -> Iterable[Any]:
    """Return the elements of nested lists, so many levels down."""
    for _ in range(depth):
        values = chain.from_iterable(values)
    return values
