"""Results of hooks as SeldonMessages in JSON, which never pass through protobuf, so that whole numbers survive."""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np

from mms.interfaces.seldon.codec.forms import (
    Array,
    ClassNames,
    Form,
    array_of,
    is_numeric,
    names_of,
    output_form,
    unknown_type_message,
    without_masked,
)
from mms.interfaces.seldon.errors import SeldonMicroserviceException

# Kinds and sizes that orjson writes from an array's memory as Python writes their numbers; float32
# has other digits there.
_WRITTEN_FROM_MEMORY = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f8"])


def encode_json(
    result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]
) -> dict[str, Any]:
    """Return the SeldonMessage of a result, for `dump_json`: arrays of numbers stay numpy arrays in it.

    `form` is that of the request; `class_names` is asked for arrays of two axes and more only (None
    there: default names); `meta` is the answer's, as `response_meta` makes it.
    Raises SeldonMicroserviceException (400) for a result that is no payload.
    """
    if isinstance(result, np.ndarray | list):
        return {"data": _data_of(result, form, class_names), "meta": meta}
    if isinstance(result, dict):
        return {"jsonData": result, "meta": meta}
    if isinstance(result, str):
        return {"strData": result, "meta": meta}
    if isinstance(result, bytes | bytearray):
        encoded = binascii.b2a_base64(result, newline=False)
        return {"binData": encoded.decode("ascii"), "meta": meta}
    raise SeldonMicroserviceException(unknown_type_message(result))


def _data_of(result: Array | list[Any], form: Form, class_names: ClassNames) -> dict[str, Any]:
    array = array_of(result)
    form = output_form(form, is_numeric(array))
    data: dict[str, Any] = {}
    if form is Form.TENSOR:
        data["tensor"] = {"values": _writable(array.ravel()), "shape": list(array.shape)}
    elif form is Form.TFTENSOR:
        # Protobuf is an extra.
        from mms.interfaces.seldon.codec.tensor_proto import json_of_array

        data["tftensor"] = json_of_array(without_masked(array))
    else:
        # A list goes back as it is: whole numbers beside fractions stay whole.
        data["ndarray"] = result if isinstance(result, list) else _writable(array)
    data["names"] = names_of(array, class_names)
    return data


def _writable(array: Array) -> Any:
    """Return the array as orjson writes it fast, or its lists."""
    if isinstance(array, np.ma.MaskedArray):
        # Its lists have None for what is masked; its memory has what must not be told.
        return array.tolist()
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    if kind in ("f2", "f4"):
        return np.ascontiguousarray(array, dtype=np.float64) if array.ndim else array.tolist()
    if kind in _WRITTEN_FROM_MEMORY and array.ndim:
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return array.tolist()
