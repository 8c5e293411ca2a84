"""Arrays of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mms.tensors.lists import array_of_lists

from ..types import Datatype, Parameters, RequestInput, ResponseOutput, TensorData
from .base import InputCodec, register_input_codec, register_request_codec
from .content import SingleInputRequestCodec, inject_batch_dimension
from .errors import CodecError

_TO_NUMPY = {
    "BOOL": "bool",
    **{
        f"{kind}{size}": f"{kind.lower()}{size}"
        for kind in ("UINT", "INT")
        for size in (8, 16, 32, 64)
    },
    **{f"FP{size}": f"float{size}" for size in (16, 32, 64)},
}
_TO_DATATYPE = {dtype: Datatype(name) for name, dtype in _TO_NUMPY.items()}


def to_dtype(input_or_output: Any) -> Any:
    """Return numpy's type of a tensor; of BYTES that of texts."""
    return np.dtype(_TO_NUMPY.get(str(input_or_output.datatype), str))


def to_datatype(dtype: Any) -> Datatype:
    """Return the datatype of numpy's type. Raises CodecError."""
    if dtype.kind in "OSU":
        return Datatype.BYTES
    found = _TO_DATATYPE.get(dtype.newbyteorder("=").name)
    if found is None:
        raise CodecError(f"numpy's type {dtype} has no datatype")
    return found


def convert_nan(value: Any) -> Any:
    return None if np.isnan(value) else value


def to_array(tensor: Any) -> Any:
    """Return a tensor's elements in its shape; of BYTES texts where they are such. Raises CodecError."""
    array = tensor.data.array
    if str(tensor.datatype) == "BYTES":
        elements = list(tensor.data) if array is None else array.ravel().tolist()
        array = _texts(elements)
    elif array is None:
        array = np.array(tensor.data.root, to_dtype(tensor))
    try:
        return array.reshape(tensor.shape)
    except ValueError as error:
        raise CodecError(f"{tensor.name}: {error}") from None


def _texts(elements: list[Any]) -> Any:
    try:
        texts = array_of_lists([e.decode() if isinstance(e, bytes) else e for e in elements])
        return texts if texts.dtype == object else texts.astype(str)
    except UnicodeDecodeError:
        found = np.empty(len(elements), object)
        found[:] = elements
        return found


@register_input_codec
class NumpyCodec(InputCodec):
    """A tensor as an array."""

    ContentType = "np"
    TypeHint = np.ndarray

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        return isinstance(payload, np.ndarray)

    @classmethod
    def encode_output(cls, name: str, payload: Any, **kwargs: Any) -> ResponseOutput:
        return ResponseOutput(
            name=name,
            datatype=to_datatype(payload.dtype),
            shape=inject_batch_dimension(list(payload.shape)),
            data=TensorData(payload),
            parameters=Parameters(content_type=cls.ContentType),
        )

    @classmethod
    def decode_input(cls, request_input: RequestInput) -> Any:
        return to_array(request_input)


@register_request_codec
class NumpyRequestCodec(SingleInputRequestCodec):
    """A request of one tensor as an array."""

    InputCodec = NumpyCodec
    ContentType = "np"
