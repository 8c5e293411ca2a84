"""`tensorflow.TensorProto` and numpy arrays, without TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import json_format

from mms.interfaces.seldon.codec.forms import Array
from mms.interfaces.seldon.codec.messages import TensorProto
from mms.interfaces.seldon.errors import SeldonMicroserviceException

# Number in the enumeration DataType -> (dtype, member that holds single values).
_TYPES: dict[int, tuple[np.dtype[Any], str]] = {
    1: (np.dtype("<f4"), "float_val"),
    2: (np.dtype("<f8"), "double_val"),
    3: (np.dtype("<i4"), "int_val"),
    4: (np.dtype("u1"), "int_val"),
    5: (np.dtype("<i2"), "int_val"),
    6: (np.dtype("i1"), "int_val"),
    7: (np.dtype(object), "string_val"),
    8: (np.dtype("<c8"), "scomplex_val"),
    9: (np.dtype("<i8"), "int64_val"),
    10: (np.dtype("?"), "bool_val"),
    17: (np.dtype("<u2"), "int_val"),
    18: (np.dtype("<c16"), "dcomplex_val"),
    19: (np.dtype("<f2"), "half_val"),
    22: (np.dtype("<u4"), "uint32_val"),
    23: (np.dtype("<u8"), "uint64_val"),
}
_BFLOAT16 = 14
_STRING = 7
_NUMBERS = {dtype.newbyteorder("="): number for number, (dtype, _) in _TYPES.items()}
# TensorFlow writes arrays of these with more than one element as bytes, all others as single values.
_WRITTEN_AS_BYTES = frozenset((1, 2, 3, 4, 5, 6, 9, 22, 23))


def array_of(tensor: Any) -> Array:
    """Return the array of a TensorProto. Raises SeldonMicroserviceException for types and lengths it cannot have."""
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    count = int(np.prod(shape, dtype=np.int64))
    if tensor.dtype == _BFLOAT16:
        bits = _raw_values(tensor, np.dtype("<u2"), "half_val", count)
        widened: Array = np.left_shift(bits.astype("<u4"), 16).view("<f4").reshape(shape)
        return widened
    if tensor.dtype not in _TYPES:
        raise SeldonMicroserviceException(
            f"Unsupported dtype {tensor.dtype} of tftensor (supported: {sorted(_TYPES)})"
        )
    dtype, member = _TYPES[tensor.dtype]
    if tensor.dtype == 19:
        return _raw_values(tensor, np.dtype("<u2"), member, count).view(dtype).reshape(shape)
    return _raw_values(tensor, dtype, member, count).reshape(shape)


def _raw_values(tensor: Any, dtype: np.dtype[Any], member: str, count: int) -> Array:
    values: Array
    if tensor.tensor_content:
        values = np.frombuffer(tensor.tensor_content, dtype).copy()
    elif dtype.kind == "c":
        parts = np.array(getattr(tensor, member), dtype=f"<f{dtype.itemsize // 2}")
        values = parts.view(dtype)
    else:
        values = np.array(list(getattr(tensor, member)), dtype=dtype)
        # The last value stands for all that follow; none at all for zeros.
        if len(values) < count and not tensor.tensor_content:
            last = values[-1:] if len(values) else np.zeros(1, dtype)
            values = np.concatenate([values, np.repeat(last, count - len(values))])
    if len(values) != count:
        raise SeldonMicroserviceException(
            f"tftensor has {len(values)} values, but its shape needs {count}"
        )
    return values


def tensor_of(array: Array) -> Any:
    """Return the TensorProto of an array as TensorFlow makes it. Raises TypeError for an array of another type."""
    if array.dtype.kind in "SUO":
        number = _STRING
    else:
        found = _NUMBERS.get(array.dtype.newbyteorder("="))
        if found is None:
            raise TypeError(f"tftensor cannot hold an array of type {array.dtype}")
        number = found
    tensor = TensorProto(dtype=number)
    # Also marks the shape as present for an array without axes.
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    dtype, member = _TYPES[number]
    flat = np.ascontiguousarray(array).ravel()
    if number in _WRITTEN_AS_BYTES and array.size > 1:
        tensor.tensor_content = flat.astype(dtype).tobytes()
    elif number == _STRING:
        values = (value.encode() if isinstance(value, str) else value for value in flat.tolist())
        tensor.string_val.extend(values)
    elif dtype.kind == "c":
        getattr(tensor, member).extend(flat.view(f"f{dtype.itemsize // 2}").tolist())
    elif number == 19:
        tensor.half_val.extend(flat.view(np.uint16).tolist())
    else:
        getattr(tensor, member).extend(flat.tolist())
    return tensor


def array_of_json(content: Any) -> Array:
    """Return the array of a TensorProto in protobuf's JSON."""
    tensor = TensorProto()
    json_format.ParseDict(content, tensor)
    return array_of(tensor)


def json_of_array(array: Array) -> dict[str, Any]:
    content: dict[str, Any] = json_format.MessageToDict(tensor_of(array))
    return content
