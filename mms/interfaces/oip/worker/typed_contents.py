"""`InferTensorContents`: the elements of a tensor as repeated fields, read and written as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mms.bodies.protobuf_wire import DELIMITED, FIXED32, FIXED64, VARINT, read_fields, varint
from mms.tensors.binary import bytes_of, check_shape, in_shape
from mms.tensors.datatypes import BOOL, BYTES, DATATYPES, Datatype
from mms.tensors.errors import InferError

if TYPE_CHECKING:
    from mms.tensors.tensor import Array

#: Datatype -> the number of its field.
FIELDS: Final = {
    BOOL: 1,
    **dict.fromkeys(("INT8", "INT16", "INT32"), 2),
    "INT64": 3,
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), 4),
    "UINT64": 5,
    "FP32": 6,
    "FP64": 7,
    BYTES: 8,
}
_NAMES: Final = {
    1: "bool_contents",
    2: "int_contents",
    3: "int64_contents",
    4: "uint_contents",
    5: "uint64_contents",
    6: "fp32_contents",
    7: "fp64_contents",
    8: "bytes_contents",
}
#: What of the fields is written with a fixed size.
_FIXED: Final = {6: (FIXED32, "<f4"), 7: (FIXED64, "<f8")}
_MAX_VARINT: Final = 10


def read_contents(
    data: Any, start: int, stop: int, datatype: Datatype, shape: list[int], what: str
) -> Array:
    """Return the array of a tensor whose contents lie between two places. Raises InferError and BrokenMessage."""
    number = FIELDS.get(datatype.name)
    if number is None:
        raise InferError(f"{what} is {datatype.name}, which only raw_input_contents can hold.")
    count = check_shape(shape, what)
    chunks: list[Any] = []
    for tag, at, end in read_fields(data, start, stop):
        if tag >> 3 != number:
            if tag >> 3 in _NAMES:
                raise InferError(
                    f"{what} has {_NAMES[tag >> 3]}; {datatype.name} is in {_NAMES[number]}."
                )
            continue
        chunks.append((tag & 7, at, end))
    if datatype.name == BYTES:
        array: Array = np.empty(len(chunks), object)
        for index, (how, at, end) in enumerate(chunks):
            if how != DELIMITED:
                raise InferError(f"{what} has bytes_contents that are no bytes.")
            array[index] = bytes(data[at:end])
    elif number in _FIXED:
        array = _fixed(data, chunks, *_FIXED[number], what).astype(datatype.numpy, copy=False)
    else:
        array = _in_range(_varints(data, chunks, what), datatype, what)
    if len(array) != count:
        raise InferError(
            f"{what} has {len(array)} elements in {_NAMES[number]}; its shape {shape} needs {count}."
        )
    return in_shape(array, shape, what)


def _fixed(data: Any, chunks: list[Any], kind: int, dtype: str, what: str) -> Array:
    size = np.dtype(dtype).itemsize
    parts = []
    for how, at, end in chunks:
        if how not in (kind, DELIMITED) or (end - at) % size:
            raise InferError(f"{what} has contents that break off within a number.")
        parts.append(data[at:end])
    # Of its own memory, which the model may write to.
    return np.frombuffer(bytearray().join(parts), dtype)


def _varints(data: Any, chunks: list[Any], what: str) -> Array:
    """Return numbers as uint64, as they are on the wire."""
    parts: list[Array] = []
    loose: list[int] = []
    for how, at, end in chunks:
        if how == VARINT:
            loose.append(at & 0xFFFFFFFFFFFFFFFF)
            continue
        if how != DELIMITED:
            raise InferError(f"{what} has contents that are written in another way than numbers.")
        if loose:
            parts.append(np.array(loose, np.uint64))
            loose = []
        parts.append(_packed(np.frombuffer(data, np.uint8, end - at, at), what))
    if loose:
        parts.append(np.array(loose, np.uint64))
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint64), *parts])


def _packed(data: Array, what: str) -> Array:
    if not data.size or data.max() < 0x80:
        return data.astype(np.uint64)
    ends = np.flatnonzero(data < 0x80)
    if not ends.size or ends[-1] != data.size - 1:
        raise InferError(f"{what} has contents that break off within a number.")
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    sizes = ends - starts + 1
    if sizes.max() > _MAX_VARINT:
        raise InferError(f"{what} has contents with a number of more than ten bytes.")
    places = (np.arange(data.size) - np.repeat(starts, sizes)).astype(np.uint64)
    bits = (data & 0x7F).astype(np.uint64) << (places * np.uint64(7))
    found: Array = np.add.reduceat(bits, starts)
    return found


def _in_range(numbers: Array, datatype: Datatype, what: str) -> Array:
    if datatype.name == BOOL:
        flags: Array = numbers != 0
        return flags
    wide = numbers.view(np.int64) if datatype.kind == "i" else numbers
    narrow = wide.astype(datatype.numpy)
    if datatype.item_bytes < 8:
        wrong = np.flatnonzero(narrow.astype(wide.dtype) != wide)
        if wrong.size:
            raise InferError(
                f"{what} has {wide[wrong[0]]} as element {wrong[0]}, which {datatype.name} cannot hold."
            )
    return narrow


def write_contents(array: Array, datatype: str, what: str) -> bytes:
    """Return the InferTensorContents of an array in numpy's type of the datatype. Raises InferError."""
    number = FIELDS[datatype]
    tag = number << 3 | DELIMITED
    if datatype == BYTES:
        parts: list[bytes] = []
        for element in array.ravel().tolist():
            data = bytes_of(element, what)
            parts += (bytes((tag,)), varint(len(data)), data)
        return b"".join(parts)
    flat = np.ascontiguousarray(array, DATATYPES[datatype].numpy).ravel()
    if not flat.size:
        return b""
    packed = flat.tobytes() if number in _FIXED else _pack(flat)
    return bytes((tag,)) + varint(len(packed)) + packed


def _pack(numbers: Array) -> bytes:
    if numbers.dtype.kind == "i":
        wide = numbers.astype(np.int64).view(np.uint64)
    else:
        wide = numbers.astype(np.uint64)
    if wide.max() < 0x80:
        return wide.astype(np.uint8).tobytes()
    columns = np.arange(_MAX_VARINT, dtype=np.uint64)
    digits = wide[:, None] >> (columns * np.uint64(7))
    # Each number has its digits up to the last one that is not zero, and one at least.
    is_there = digits != 0
    is_there[:, 0] = True
    has_next = np.zeros_like(is_there)
    has_next[:, :-1] = is_there[:, 1:]
    found = (digits & np.uint64(0x7F)).astype(np.uint8) | (has_next.astype(np.uint8) << 7)
    return bytes(found[is_there].tobytes())
