"""Messages to a component's arguments and its results to messages, as JSON; protobuf by delegation.

JSON never passes through protobuf here, so whole numbers and unknown members survive.
"""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np

from mms.interfaces.seldon.codec.forms import (
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
from mms.interfaces.seldon.codec.json_decoding import (
    Base64Bytes,
    check_json,
    decode_aggregate_json,
    decode_json,
    messages_of_json,
)
from mms.interfaces.seldon.codec.json_text import dump_json, load_json
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.interfaces.seldon.meta import merged_meta, own_request_path, response_meta

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
    "check_json",
    "decode_proto_bytes",
    "dump_json",
    "encode_json",
    "encode_proto",
    "encode_proto_bytes",
    "load_json",
    "merged_meta",
    "messages_of_json",
    "own_request_path",
    "response_meta",
]

# Kinds and sizes that orjson writes from an array's memory as Python writes their numbers; float32
# has other digits there.
_WRITTEN_FROM_MEMORY = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f8"])


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


# Protobuf is an extra: these import it when they are called.


def _json_of_tensor(array: Array) -> dict[str, Any]:
    from mms.interfaces.seldon.codec.tensor_proto import json_of_array

    return json_of_array(array)


def decode_proto(message: Any, strict: bool = False) -> Incoming:
    """What a SeldonMessage brings; `strict`: a tensor with too many values loses the first, as with Seldon's.

    Raises SeldonMicroserviceException for a message without payload or an array that does not fit.
    """
    from mms.interfaces.seldon.codec import proto_payload

    return proto_payload.decode(message, strict)


def decode_proto_bytes(body: bytes | bytearray | memoryview, strict: bool = False) -> Incoming:
    """As `decode_proto` of the parsed bytes; lists of numbers are read without a Python object for each."""
    from mms.interfaces.seldon.codec import proto_payload

    return proto_payload.decode_bytes(body, strict)


def encode_proto(result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]) -> Any:
    """The protobuf SeldonMessage of a result; see `encode_json`. `google.protobuf.Any` becomes customData."""
    from mms.interfaces.seldon.codec import messages, proto_payload

    return messages.SeldonMessage.FromString(
        proto_payload.encode_bytes(result, form, class_names, meta)
    )


def encode_proto_bytes(
    result: Any, form: Form, class_names: ClassNames, meta: dict[str, Any]
) -> bytes:
    """The serialized bytes of `encode_proto`, made without the message where it is an array of numbers."""
    from mms.interfaces.seldon.codec import proto_payload

    return proto_payload.encode_bytes(result, form, class_names, meta)


def decode_aggregate_proto(message: Any, strict: bool = False) -> list[Incoming]:
    """The messages of a SeldonMessageList. Raises as `decode_aggregate_json`."""
    if not message.seldonMessages:
        if strict:
            raise IndexError("list index out of range")
        raise SeldonMicroserviceException("The request has no messages to aggregate")
    return [decode_proto(part, strict) for part in message.seldonMessages]


def decode_aggregate_proto_bytes(
    body: bytes | bytearray | memoryview, strict: bool = False
) -> list[Incoming]:
    from mms.interfaces.seldon.codec import messages

    return decode_aggregate_proto(messages.parse_message(messages.SeldonMessageList, body), strict)


def decode_feedback_proto_bytes(body: bytes | bytearray | memoryview) -> Any:
    """The protobuf Feedback of serialized bytes. Raises SeldonMicroserviceException (400)."""
    from mms.interfaces.seldon.codec import messages

    return messages.parse_message(messages.Feedback, body)


def decode_feedback_json(message: Any) -> Any:
    """The protobuf Feedback of decoded JSON. Raises SeldonMicroserviceException (`Invalid JSON: ...`)."""
    from mms.interfaces.seldon.components.feedback import feedback_of_json

    return feedback_of_json(message)
