"""Messages to a component's arguments and its results to messages, as JSON; protobuf by delegation.

JSON never passes through protobuf here, so whole numbers and unknown members survive.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from mms.seldon.errors import SeldonMicroserviceException
from mms.seldon.forms import (
    Array,
    ClassNames,
    Form,
    Incoming,
    array_of,
    is_numeric,
    names_of,
    output_form,
    unknown_type_message,
    without_masked,
)
from mms.seldon.json_text import dump_json, load_json
from mms.seldon.meta import merged_meta, own_request_path, response_meta

__all__ = [
    "Base64Bytes",
    "ClassNames",
    "Form",
    "Incoming",
    "decode_aggregate_json",
    "decode_aggregate_proto",
    "decode_aggregate_proto_bytes",
    "decode_feedback_json",
    "decode_feedback_proto_bytes",
    "decode_json",
    "decode_proto",
    "decode_proto_bytes",
    "dump_json",
    "encode_json",
    "encode_proto",
    "encode_proto_bytes",
    "load_json",
    "merged_meta",
    "own_request_path",
    "response_meta",
]

# Kinds and sizes that orjson writes from an array's memory as Python writes their numbers; float32
# has other digits there.
_WRITTEN_FROM_MEMORY = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f8"])


class Base64Bytes(bytes):
    """Base64 text that was made from `content`, so that nobody needs to decode it again."""

    content: bytes

    @classmethod
    def of(cls, content: bytes) -> Base64Bytes:
        made = cls(binascii.b2a_base64(content, newline=False))
        made.content = content
        return made


def decode_json(message: Any, strict: bool = False) -> Incoming:
    """What a SeldonMessage as decoded JSON brings.

    Where not `strict`, a bare list of numbers, texts or lists counts as `data.ndarray`.
    Raises SeldonMicroserviceException for what is no message; what is wrong inside raises what
    Python or numpy raise, with the messages that clients of Seldon's wrapper see.
    """
    if not isinstance(message, dict):
        if not strict and _is_bare_array(message):
            return Incoming(np.array(message), [], None, Form.NDARRAY, None)
        raise SeldonMicroserviceException(f"Invalid request data type: {message}")
    names: Any = []
    form = Form.NONE
    value: Any
    if "data" in message:
        data = message["data"]
        if "tensor" in data:
            form = Form.TENSOR
            tensor = data["tensor"]
            value = np.array(tensor["values"]).reshape(tensor["shape"])
        elif "ndarray" in data:
            form = Form.TFTENSOR if "tftensor" in data else Form.NDARRAY
            value = np.array(data["ndarray"])
        elif "tftensor" in data:
            form = Form.TFTENSOR
            value = _tensor_of_json(data["tftensor"])
        else:
            form = Form.NDARRAY
            value = np.array([])
        if data and "names" in data:
            names = data["names"]
    elif "jsonData" in message:
        value = message["jsonData"]
    elif "strData" in message:
        value = message["strData"]
    elif "binData" in message:
        value = _bytes_of(message["binData"])
    else:
        raise SeldonMicroserviceException(f"Invalid request data type: {message}")
    if "meta" not in message:
        return Incoming(value, names, None, form, None)
    meta = message["meta"]
    return Incoming(value, names, meta, form, meta.get("puid") or None)


def encode_json(
    result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]
) -> dict[str, Any]:
    """The SeldonMessage of a result, for `dump_json`: arrays of numbers stay numpy arrays in it.

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
        data["tftensor"] = _json_of_tensor(without_masked(array))
    else:
        # A list goes back as it is: whole numbers beside fractions stay whole.
        data["ndarray"] = result if isinstance(result, list) else _writable(array)
    data["names"] = names_of(array, class_names)
    return data


def _writable(array: Array) -> Any:
    """The array as orjson writes it fast, or its lists."""
    if isinstance(array, np.ma.MaskedArray):
        # Its lists have None for what is masked; its memory has what must not be told.
        return array.tolist()
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    if kind in ("f2", "f4"):
        return np.ascontiguousarray(array, dtype=np.float64) if array.ndim else array.tolist()
    if kind in _WRITTEN_FROM_MEMORY and array.ndim:
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return array.tolist()


def _bytes_of(text: Any) -> bytes:
    return text.content if isinstance(text, Base64Bytes) else base64.b64decode(text)


def _is_bare_array(message: Any) -> bool:
    while isinstance(message, list) and message:
        message = message[0]
        if isinstance(message, str | int | float):
            return True
    return False


def decode_aggregate_json(message: Any) -> list[Incoming]:
    """The messages of an aggregate request: a list, or an object with the list `seldonMessages`.

    Raises SeldonMicroserviceException; IndexError for an empty list.
    """
    messages = message
    if isinstance(message, dict):
        messages = message.get("seldonMessages")
    if not isinstance(messages, list):
        raise SeldonMicroserviceException(f"Invalid request data type: {message}")
    if not messages:
        raise IndexError("list index out of range")
    return [decode_json(part, strict=True) for part in messages]


# Protobuf is an extra: these import it when they are called.


def _tensor_of_json(tensor: Any) -> Array:
    from mms.seldon.tensor_proto import array_of_json

    return array_of_json(tensor)


def _json_of_tensor(array: Array) -> dict[str, Any]:
    from mms.seldon.tensor_proto import json_of_array

    return json_of_array(array)


def decode_proto(message: Any, strict: bool = False) -> Incoming:
    """What a SeldonMessage brings; `strict`: a tensor with too many values loses the first, as with Seldon's.

    Raises SeldonMicroserviceException for a message without payload or an array that does not fit.
    """
    from mms.seldon import proto_payload

    return proto_payload.decode(message, strict)


def decode_proto_bytes(body: bytes | bytearray | memoryview, strict: bool = False) -> Incoming:
    """As `decode_proto` of the parsed bytes; lists of numbers are read without a Python object for each."""
    from mms.seldon import proto_payload

    return proto_payload.decode_bytes(body, strict)


def encode_proto(result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]) -> Any:
    """The protobuf SeldonMessage of a result; see `encode_json`. `google.protobuf.Any` becomes customData."""
    from mms.seldon import messages, proto_payload

    return messages.SeldonMessage.FromString(
        proto_payload.encode_bytes(result, form, class_names, meta)
    )


def encode_proto_bytes(
    result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]
) -> bytes:
    """The serialized bytes of `encode_proto`, made without the message where it is an array of numbers."""
    from mms.seldon import proto_payload

    return proto_payload.encode_bytes(result, form, class_names, meta)


def decode_aggregate_proto(message: Any, strict: bool = False) -> list[Incoming]:
    """The messages of a SeldonMessageList. IndexError for an empty one."""
    if not message.seldonMessages:
        raise IndexError("list index out of range")
    return [decode_proto(part, strict) for part in message.seldonMessages]


def decode_aggregate_proto_bytes(
    body: bytes | bytearray | memoryview, strict: bool = False
) -> list[Incoming]:
    from mms.seldon import messages

    return decode_aggregate_proto(messages.parse_message(messages.SeldonMessageList, body), strict)


def decode_feedback_proto_bytes(body: bytes | bytearray | memoryview) -> Any:
    """The protobuf Feedback of serialized bytes. Raises SeldonMicroserviceException (400)."""
    from mms.seldon import messages

    return messages.parse_message(messages.Feedback, body)


def decode_feedback_json(message: Any) -> Any:
    """The protobuf Feedback of decoded JSON. Raises SeldonMicroserviceException (`Invalid JSON: ...`)."""
    from mms.seldon.feedback import feedback_of_json

    return feedback_of_json(message)
