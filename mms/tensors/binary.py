"""The binary form of tensors: little-endian, row by row, without gaps; elements of BYTES after their lengths (u32)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from mms.tensors.datatypes import BF16, BOOL, BYTES, DATATYPES, MAX_RANK, Datatype
from mms.tensors.errors import InferError
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.tensors.tensor import Array

Buffer: TypeAlias = bytes | bytearray | memoryview

_LENGTH: Final = Struct("<I")
_MAX_ELEMENT_BYTES: Final = 0xFFFFFFFF
#: numpy's types of datatypes, made once.
_TYPES: Final = {name: np.dtype(datatype.numpy) for name, datatype in DATATYPES.items()}
#: Of smaller arrays a copy is quicker than a view.
_VIEWED_BYTES: Final = 4096


def check_shape(shape: Any, what: str) -> int:
    """Return how many elements a shape has. Raises InferError for what is none; `what` names the tensor."""
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes):
        raise InferError(f"{what} has a shape that is no list of whole numbers from 0 on.")
    if len(shape) > MAX_RANK:
        raise InferError(f"{what} has a shape of {len(shape)} dimensions; {MAX_RANK} are the most.")
    for size in shape:
        if type(size) is not int or size < 0:
            raise InferError(
                f"{what} has the shape {brief(shape)}; whole numbers from 0 on are right."
            )
    return math.prod(shape)


def in_shape(array: Array, shape: Sequence[int], what: str) -> Array:
    """Return an array of the right size in its shape. Raises InferError for one that no array can have."""
    try:
        return array.reshape(tuple(shape))
    except (ValueError, OverflowError):
        # Sizes beyond memory with a zero among them.
        raise InferError(
            f"{what} has the shape {brief(list(shape))}, which is too large."
        ) from None


def read_binary(
    data: Buffer, start: int, size: int, datatype: Datatype, shape: Sequence[int], what: str
) -> Array:
    """Return the array of a tensor whose `size` bytes begin at `start` of `data`; it can be written to.

    A part of `data` that can be written to and is aligned becomes the array itself, anything else is copied once.
    Raises InferError.
    """
    count = check_shape(shape, what)
    if not datatype.item_bytes:
        return in_shape(_read_bytes(data, start, size, count, what), shape, what)
    needed = count * datatype.item_bytes
    if size != needed:
        raise InferError(
            f"{what} has {size} bytes of data; the shape {brief(list(shape))} of {datatype.name} needs {brief(needed)}."
        )
    return read_fixed(data, start, count, datatype, shape, what)


def align(data: bytearray, start: int, size: int, item_bytes: int) -> int:
    """Move the `size` bytes at `start` down to where numpy's arrays can begin, which takes less than to copy them.

    Returns that place. What stood in the few bytes before them is lost.
    """
    place: int = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    by = (place + start) % item_bytes
    if by and start >= by:
        with memoryview(data) as view:
            view[start - by : start - by + size] = view[start : start + size]
        return start - by
    return start


def read_fixed(
    data: Buffer, start: int, count: int, datatype: Datatype, shape: Sequence[int], what: str
) -> Array:
    """Return the array of `count` elements, as many as `shape` has, that are not BYTES. As `read_binary`."""
    name = datatype.name
    if name == BF16:
        return in_shape(_widened(np.frombuffer(data, "<u2", count, start)), shape, what)
    array: Array = np.frombuffer(data, _TYPES[name], count, start)
    if name == BOOL and count and array.view(np.uint8).max() > 1:
        raise InferError(f"{what} is BOOL, and has bytes that are neither 0 nor 1.")
    flags = array.flags
    if not (flags.aligned and flags.writeable):
        array = array.copy()
    return in_shape(array, shape, what)


def _read_bytes(data: Buffer, start: int, size: int, count: int, what: str) -> Array:
    if count > size // _LENGTH.size:
        raise InferError(
            f"{what} has {size} bytes of data; {brief(count)} elements of BYTES need at least "
            f"{brief(count * _LENGTH.size)}."
        )
    array: Array = np.empty(count, object)
    end = start + size
    at = start
    view = memoryview(data)
    for index in range(count):
        begin = at + _LENGTH.size
        if begin > end:
            raise InferError(f"{what} has data that end before element {index} of {count}.")
        (length,) = _LENGTH.unpack_from(view, at)
        at = begin + length
        if at > end:
            raise InferError(
                f"{what} has {length} bytes in element {index}, but {end - begin} bytes of data are left."
            )
        array[index] = bytes(view[begin:at])
    if at != end:
        raise InferError(f"{what} has {end - at} bytes of data left behind its {count} elements.")
    return array


def write_binary(array: Array, datatype: str, what: str) -> Buffer:
    """Return the binary form of an array that has numpy's type of the datatype already. Raises InferError.

    The memory of an array in row order is returned as it is, where it is not small.
    """
    if datatype == BYTES:
        return _write_bytes(array, what)
    if datatype == BF16:
        array = _halves(array)
    else:
        wanted = _TYPES[datatype]
        if array.dtype is not wanted:
            array = np.asarray(array, wanted)
    if array.nbytes < _VIEWED_BYTES:
        return array.tobytes()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def as_bf16(array: Array) -> Array:
    """Return the numbers as BF16 has them, in 32 bits; flat."""
    return _widened(_halves(array))


def _widened(halves: Array) -> Array:
    wide: Array = np.left_shift(halves, np.uint32(16), dtype="<u4")
    return wide.view("<f4")


def _halves(array: Array) -> Array:
    """The upper halves of 32 bits, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(array, "<f4").reshape(-1).view("<u4")
    rounded = bits + (0x7FFF + ((bits >> np.uint32(16)) & np.uint32(1)))
    # Of a NaN whose rounding would make it an infinity or another sign the upper half is taken, as a quiet one.
    rounded = np.where(np.isnan(bits.view("<f4")), bits | np.uint32(0x00400000), rounded)
    halves: Array = (rounded >> np.uint32(16)).astype("<u2")
    return halves


def _write_bytes(array: Array, what: str) -> bytes:
    parts: list[bytes] = []
    pack = _LENGTH.pack
    for element in array.ravel().tolist():
        data = bytes_of(element, what)
        if len(data) > _MAX_ELEMENT_BYTES:
            raise InferError(f"{what} has an element of BYTES that is larger than 4 GiB.", 500)
        parts += (pack(len(data)), data)
    return b"".join(parts)


def bytes_of(element: Any, what: str) -> bytes:
    """Return an element of BYTES that a model gave: text is UTF-8. Raises InferError for neither text nor bytes."""
    if type(element) is bytes:
        return element
    if isinstance(element, str):
        try:
            return element.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InferError(
                f"{what} has a text with half of a character (a lone surrogate), which UTF-8 cannot hold.",
                500,
            ) from None
    if isinstance(element, bytes | bytearray | memoryview):
        return bytes(element)
    raise InferError(
        f"{what} has an element of BYTES that is neither bytes nor text, but {type(element).__name__}.",
        500,
    )
