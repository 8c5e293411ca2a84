"""Protobuf messages to a component's arguments and its results to protobuf messages.

Arrays of numbers are taken from and put into the wire's bytes; everything else goes through the
message classes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import any_pb2, json_format

from mms.bodies.protobuf_wire import field, read_varint, varint
from mms.interfaces.seldon.codec import forms
from mms.interfaces.seldon.codec.forms import (
    Array,
    ClassNames,
    Form,
    Incoming,
    is_numeric,
    is_shape,
    names_of,
    output_form,
    shaped_tensor,
    unknown_type_message,
    without_masked,
)
from mms.interfaces.seldon.codec.json_decoding import RAGGED
from mms.interfaces.seldon.codec.json_text import dump_json, load_json
from mms.interfaces.seldon.codec.messages import (
    Meta,
    SeldonMessage,
    SeldonMessageList,
    parse_message,
)
from mms.interfaces.seldon.codec.tensor_proto import array_of, tensor_of
from mms.interfaces.seldon.codec.wire_numbers import list_of_numbers, read_list_of_numbers
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.tensors.lists import array_of_lists

# Field number and wire type, as they are written in one byte.
_META_TAG = 0x12
_DATA_TAG = 0x1A
_STATUS_TAG = 0x0A
_NAMES_TAG = 0x0A
_TENSOR_TAG = 0x12
_NDARRAY_TAG = 0x1A
_TFTENSOR_TAG = 0x22
_SHAPE_TAG = 0x0A
_VALUES_TAG = 0x12

#: Below it the message's class is faster than looking at the bytes.
_FEW_BYTES = 4096

FORMS = {"tensor": Form.TENSOR, "ndarray": Form.NDARRAY, "tftensor": Form.TFTENSOR}


def decode_proto_bytes(body: bytes | bytearray | memoryview, strict: bool = False) -> Incoming:
    """Decode as `decode_proto` does the parsed bytes; lists of numbers are read without a Python object for each."""
    body = bytes(body)
    if len(body) < _FEW_BYTES:
        return decode_proto(parse_message(SeldonMessage, body), strict)
    return _read_numbers(body, strict) or decode_proto(parse_message(SeldonMessage, body), strict)


def decode_proto(message: Any, strict: bool = False) -> Incoming:
    """Return what a SeldonMessage brings; `strict`: a tensor with too many values loses the first, as with Seldon's.

    Raises SeldonMicroserviceException for a message without payload or an array that does not fit.
    """
    kind = message.WhichOneof("data_oneof")
    form = Form.NONE
    names: Any = message.data.names if kind == "data" else []
    value: Any
    if kind == "data":
        form = FORMS.get(message.data.WhichOneof("data_oneof"), Form.NDARRAY)
        value = array_of_data(message.data, strict)
    elif kind == "jsonData":
        value = json_format.MessageToDict(message.jsonData)
    elif kind is None:
        raise SeldonMicroserviceException("Unknown data in SeldonMessage")
    else:
        value = getattr(message, kind)
    return Incoming(value, names, meta_of(message.meta), form, message.meta.puid or None)


def decode_aggregate_proto_bytes(
    body: bytes | bytearray | memoryview, strict: bool = False
) -> list[Incoming]:
    """Return the messages of a serialized SeldonMessageList. Raises as `decode_aggregate_json`."""
    messages = parse_message(SeldonMessageList, body).seldonMessages
    if not messages:
        if strict:
            raise IndexError("list index out of range")
        raise SeldonMicroserviceException("The request has no messages to aggregate")
    return [decode_proto(part, strict) for part in messages]


def encode_proto(result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]) -> Any:
    """Return the message of `encode_proto_bytes`."""
    return SeldonMessage.FromString(encode_proto_bytes(result, form, class_names, meta))


def array_of_data(data: Any, strict: bool = False) -> Array:
    """Return the array of a DefaultData: float64 of its tensor, or of its ndarray what numpy makes of the lists."""
    kind = data.WhichOneof("data_oneof")
    if kind == "tensor":
        values = np.array(data.tensor.values, dtype=np.float64)
        return _shaped(values, list(data.tensor.shape), strict)
    if kind == "ndarray":
        found = read_list_of_numbers(data.ndarray.SerializeToString())
        return _array_of_list(data.ndarray, strict) if found is None else found
    if kind == "tftensor":
        return _array_of_tftensor(data.tftensor, strict)
    return np.array([])


def _array_of_list(values: Any, strict: bool) -> Array:
    try:
        return array_of_lists(json_format.MessageToDict(values))
    except ValueError:
        if strict:
            raise
        raise SeldonMicroserviceException(RAGGED) from None


def _array_of_tftensor(tensor: Any, strict: bool) -> Array:
    try:
        return array_of(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        if strict:
            raise
        raise SeldonMicroserviceException(f"data.tftensor: {error}") from None


def meta_of(meta: Any) -> dict[str, Any]:
    if not meta.ByteSize():
        return {}
    content: dict[str, Any] = json_format.MessageToDict(meta)
    return content


def _shaped(values: Array, shape: list[int], strict: bool) -> Array:
    if not shape:
        message = f"data.tensor has no shape, but {len(values)} values"
        raise TypeError(message) if strict else SeldonMicroserviceException(message)
    if not strict:
        if not is_shape(shape):
            raise SeldonMicroserviceException(
                f"data.tensor.shape must be whole numbers, one of them -1 at most, not {shape}"
            )
        return shaped_tensor(values, shape)
    count = math.prod(shape)
    if len(values) > count > 0:
        values = values[-count:]
    if len(values) != count:
        raise ValueError(
            f"data.tensor.shape {shape} needs {count} values, but data.tensor.values has {len(values)}"
        )
    return values.reshape(shape)


def _fields(buffer: bytes, start: int, end: int) -> list[tuple[int, int, int]] | None:
    """Return (tag byte, start, end) of the length-delimited fields; None for any other kind or for bad bytes."""
    found = []
    while start < end:
        tag = buffer[start]
        if tag & 7 != 2 or tag > 0x7F:
            return None
        try:
            size, start = read_varint(buffer, start + 1)
        except IndexError:
            return None
        if start + size > end:
            return None
        found.append((tag, start, start + size))
        start += size
    return found


def _read_numbers(body: bytes, strict: bool) -> Incoming | None:
    """Return the message of a tensor or ndarray of numbers alone; None for every other one."""
    top = _fields(body, 0, len(body))
    if top is None:
        return None
    parts = {tag: (start, end) for tag, start, end in top}
    if len(parts) != len(top) or not parts.keys() <= {_STATUS_TAG, _META_TAG, _DATA_TAG}:
        return None
    if _DATA_TAG not in parts:
        return None
    inner = _fields(body, *parts[_DATA_TAG])
    if inner is None:
        return None
    names = []
    array: Array | None = None
    form = Form.NONE
    for tag, start, end in inner:
        if tag == _NAMES_TAG:
            names.append(body[start:end].decode())
        elif form is not Form.NONE:
            return None
        elif tag == _TENSOR_TAG:
            form = Form.TENSOR
            array = _read_tensor(body, start, end, strict)
        elif tag == _NDARRAY_TAG:
            form = Form.NDARRAY
            array = read_list_of_numbers(memoryview(body)[start:end])
        else:
            return None
    if array is None:
        return None
    meta: dict[str, Any] = {}
    if _META_TAG in parts:
        start, end = parts[_META_TAG]
        meta = meta_of(parse_message(Meta, body[start:end]))
    return Incoming(array, names, meta, form, meta.get("puid"))


def _read_tensor(body: bytes, start: int, end: int, strict: bool) -> Array | None:
    found = _fields(body, start, end)
    if found is None or sorted(tag for tag, _, _ in found) != [_SHAPE_TAG, _VALUES_TAG]:
        return None
    shape: list[int] = []
    values = np.empty(0)
    for tag, at, stop in found:
        if tag == _SHAPE_TAG:
            while at < stop:
                size, at = read_varint(body, at)
                shape.append(size)
        elif (stop - at) % 8:
            return None
        else:
            # A copy: aligned, and components may write into it as into one that came as JSON.
            values = np.frombuffer(body, "<f8", (stop - at) // 8, at).astype(np.float64)
    if any(size >= 1 << 31 for size in shape):
        return None
    return _shaped(values, shape, strict)


def encode_proto_bytes(
    result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]
) -> bytes:
    """Return the serialized SeldonMessage of a result; see `encode_json`. `google.protobuf.Any` becomes customData.

    Raises TypeError or json_format.ParseError for what protobuf cannot hold.
    """
    head = field(_META_TAG, _meta_bytes(meta))
    if isinstance(result, np.ndarray | list):
        parts = _data_parts(forms.array_of(result), form, class_names)
        return b"".join((head, bytes((_DATA_TAG,)), varint(sum(map(len, parts))), *parts))
    if isinstance(result, str):
        return head + field(0x2A, result.encode())
    if isinstance(result, bytes | bytearray):
        return b"".join((head, b"\x22", varint(len(result)), result))
    message = SeldonMessage()
    if isinstance(result, dict):
        _fill_json(message.jsonData, result)
    elif isinstance(result, any_pb2.Any):
        message.customData.CopyFrom(result)
    else:
        raise SeldonMicroserviceException(unknown_type_message(result))
    return head + bytes(message.SerializeToString())


def _fill_json(value: Any, content: Any) -> None:
    """Write a JSON value into its protobuf form; numpy's numbers and arrays are taken as over REST."""
    try:
        json_format.ParseDict(content, value)
    except (json_format.ParseError, TypeError):
        json_format.ParseDict(load_json(dump_json(content)), value)


def _meta_bytes(meta: dict[str, Any]) -> bytes:
    if not meta:
        return b""
    message = Meta()
    try:
        json_format.ParseDict(meta, message)
    except (json_format.ParseError, TypeError):
        # Numbers and arrays of numpy are taken as over REST.
        message = json_format.ParseDict(load_json(dump_json(meta)), Meta())
    return bytes(message.SerializeToString())


def _data_parts(array: Array, form: Form, class_names: ClassNames) -> list[bytes]:
    """Return the bytes of a DefaultData."""
    names: Sequence[str] = names_of(array, class_names)
    form = output_form(form, is_numeric(array))
    # Names are mostly the same ones; those that are no texts raise in either way.
    parts = [_names_bytes(tuple(map(str, names)))] if len(names) else []
    if form is Form.TENSOR:
        shape = b"".join(map(varint, array.shape))
        numbers = without_masked(array).ravel()
        if numbers.dtype.kind == "m":
            # Whole numbers for nanoseconds; other lengths of time are no numbers to Python, and none here.
            numbers = np.array(numbers.tolist())
        values = numbers.astype("<f8", casting="same_kind").tobytes()
        tensor = []
        if shape:
            tensor.append(field(_SHAPE_TAG, shape))
        if values:
            tensor.append(field(_VALUES_TAG, values))
        parts.append(field(_TENSOR_TAG, *tensor))
    elif form is Form.TFTENSOR:
        parts.append(field(_TFTENSOR_TAG, tensor_of(without_masked(array)).SerializeToString()))
    else:
        parts.append(field(_NDARRAY_TAG, list_content(array)))
    return parts


@functools.lru_cache(maxsize=64)
def _names_bytes(names: tuple[str, ...]) -> bytes:
    return b"".join(field(_NAMES_TAG, name.encode()) for name in names)


def list_content(array: Array) -> bytes:
    """Return the serialized ListValue of an array. Raises TypeError without axes, ValueError for odd elements."""
    if not array.ndim:
        raise TypeError("iteration over a 0-d array")
    if array.dtype.kind in "iuf" and not np.ma.is_masked(array):
        return list_of_numbers(array)
    message = SeldonMessage()
    _extend(message.data.ndarray, array.tolist())
    return bytes(message.data.ndarray.SerializeToString())


def _extend(values: Any, members: Any) -> None:
    for member in members:
        if isinstance(member, list):
            _extend(values.add_list(), member)
        else:
            values.append(member)
