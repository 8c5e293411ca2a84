"""Decoded JSON to what a component's hooks get, and what is wrong with it where it is none of Seldon's messages.

JSON never passes through protobuf here, so whole numbers and unknown members survive. Seldon's wrapper takes much that
is wrong for something else, drops it or fails with Python's own words; so does `strict`.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, Final

import numpy as np

from mms.interfaces.seldon.codec.forms import Array, Form, Incoming, is_shape, shaped_tensor
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.tensors.lists import array_of_lists
from mms.text.brief import brief

_RIGHT: Final = 'A request has data, such as {"data": {"ndarray": [[1.0, 2.0]]}}, or jsonData, strData or binData.'

_PAYLOADS: Final = ("data", "jsonData", "strData", "binData")
_ARRAYS: Final = ("tensor", "ndarray", "tftensor")
RAGGED: Final = "data.ndarray is not an array: its rows are of unequal length"


class Base64Bytes(bytes):
    """Base64 text that was made from `content`, so that nobody needs to decode it again."""

    content: bytes

    @classmethod
    def of(cls, content: bytes) -> Base64Bytes:
        made = cls(binascii.b2a_base64(content, newline=False))
        made.content = content
        return made


def decode_json(message: Any, strict: bool = False) -> Incoming:
    """Return what a SeldonMessage as decoded JSON brings.

    Raises SeldonMicroserviceException (400), which names the member that is wrong; where `strict`, what is wrong inside
    a message raises what Python or numpy raise, with the messages that clients of Seldon's wrapper see.
    """
    if not isinstance(message, dict):
        raise _no_message(message, strict)
    kind = "data"
    if kind not in message:
        # Not before: a generator takes longer than all the rest here.
        kind = next((member for member in _PAYLOADS if member in message), "")
        if not kind:
            raise _no_message(message, strict)
    meta = message.get("meta")
    if meta is not None and not strict:
        _check_meta(meta)
    names: Any = []
    form = Form.NONE
    value = message[kind]
    if kind == "data":
        value, names, form = _data_of(value, strict)
    elif kind == "binData":
        value = _bytes_of(value, strict)
    elif kind == "strData" and not strict and value is None:
        raise _wrong("strData", "a text", value)
    if meta is None and (not strict or "meta" not in message):
        return Incoming(value, names, None, form, None)
    puid: Any = meta.get("puid")  # type: ignore[union-attr]  # what Python says of it is what Seldon's wrapper says
    return Incoming(value, names, meta, form, puid or None)


def check_json(message: Any, strict: bool) -> None:
    """Raise what `decode_json` raises, but for what is wrong with `meta` where `strict`."""
    without_meta = isinstance(message, dict) and strict
    decode_json(
        {name: value for name, value in message.items() if name != "meta"}
        if without_meta
        else message,
        strict,
    )


def messages_of_json(message: Any, strict: bool = False) -> list[Any]:
    """Return the messages of an aggregate request: a list, or an object with the list `seldonMessages`.

    Raises SeldonMicroserviceException.
    """
    messages = message.get("seldonMessages") if isinstance(message, dict) else message
    if not isinstance(messages, list):
        raise _no_message(message, strict)
    return messages


def decode_aggregate_json(message: Any, strict: bool = False) -> list[Incoming]:
    """Return the messages of an aggregate request, one at least.

    Raises SeldonMicroserviceException; where `strict`, IndexError for an empty list.
    """
    messages = messages_of_json(message, strict)
    if not messages:
        if strict:
            raise IndexError("list index out of range")
        raise SeldonMicroserviceException("The request has no messages to aggregate")
    if strict:
        return [decode_json(part, strict) for part in messages]
    decoded = []
    for index, part in enumerate(messages):
        try:
            decoded.append(decode_json(part))
        except SeldonMicroserviceException as error:
            error.message = f"seldonMessages[{index}]: {error.message}"
            raise
    return decoded


def check_feedback(feedback: Any) -> None:
    """Raise SeldonMicroserviceException for base64 that protobuf's parser would read as something else."""
    for member in ("request", "response", "truth"):
        check_base64(feedback.get(member) if isinstance(feedback, dict) else None, f"{member}.")


def check_base64(message: Any, place: str = "") -> None:
    """Check the base64 of one message. `place`: where it stands, before the name of its member."""
    text = message.get("binData") if isinstance(message, dict) else None
    if isinstance(text, str):
        try:
            # It reads the alphabet for URLs, too, and needs no padding.
            padding = "=" * (-len(text) % 4)
            _bytes_of(text.replace("-", "+").replace("_", "/") + padding, False)
        except SeldonMicroserviceException as error:
            error.message = f"{place}{error.message}"
            raise


def _data_of(data: Any, strict: bool) -> tuple[Array, Any, Form]:
    """Return (array, names, form) of what is in `data`."""
    if not strict and not isinstance(data, dict):
        raise _wrong("data", "an object with tensor, ndarray or tftensor", data)
    if "tensor" in data:
        form, value = Form.TENSOR, _tensor_of(data["tensor"], strict)
    elif "ndarray" in data:
        form = Form.TFTENSOR if "tftensor" in data else Form.NDARRAY
        value = _array_of(data["ndarray"], strict)
    elif "tftensor" in data:
        form, value = Form.TFTENSOR, _tftensor_of(data["tftensor"], strict)
    else:
        others = [name for name in data if name != "names"]
        if others and not strict:
            raise SeldonMicroserviceException(
                f"data has {brief(others[0])}, and none of {', '.join(_ARRAYS)}"
            )
        form, value = Form.NDARRAY, np.array([])
    names: Any = []
    if data and "names" in data:
        names = data["names"]
    return value, names, form


def _array_of(values: Any, strict: bool) -> Array:
    if strict:
        return array_of_lists(values)
    try:
        return array_of_lists(values)
    except (ValueError, OverflowError, RecursionError):
        raise SeldonMicroserviceException(RAGGED) from None


def _tensor_of(tensor: Any, strict: bool) -> Array:
    if strict:
        shaped: Array = array_of_lists(tensor["values"]).reshape(tensor["shape"])
        return shaped
    if not isinstance(tensor, dict):
        raise _wrong("data.tensor", "an object with shape and values", tensor)
    sizes = tensor.get("shape")
    shape = [sizes] if type(sizes) is int else sizes
    if not isinstance(shape, list) or not is_shape(shape):
        raise _wrong("data.tensor.shape", "a list of whole numbers, one of them -1 at most", sizes)
    # Protobuf leaves out an empty list.
    values = tensor.get("values", None if math.prod(shape) else [])
    if values is None or isinstance(values, dict):
        raise _wrong("data.tensor.values", "a list of numbers", values)
    try:
        array = array_of_lists(values)
    except (ValueError, OverflowError, RecursionError) as error:
        raise SeldonMicroserviceException(f"data.tensor.values is not an array: {error}") from None
    return shaped_tensor(array, shape)


def _tftensor_of(tensor: Any, strict: bool) -> Array:
    # Protobuf is an extra.
    from google.protobuf.json_format import ParseError

    from mms.interfaces.seldon.codec.tensor_proto import array_of_json

    if strict:
        return array_of_json(tensor)
    if not isinstance(tensor, dict):
        raise _wrong("data.tftensor", "an object, a TensorProto in protobuf's JSON", tensor)
    try:
        return array_of_json(tensor)
    except SeldonMicroserviceException as error:
        error.message = f"data.tftensor: {error.message}"
        raise
    except (ParseError, ValueError, TypeError, OverflowError) as error:
        raise SeldonMicroserviceException(f"data.tftensor: {error}") from None


def _bytes_of(text: Any, strict: bool) -> bytes:
    if isinstance(text, Base64Bytes):
        return text.content
    if strict:
        return base64.b64decode(text)
    if not isinstance(text, str | bytes):
        raise _wrong("binData", "a text in base64", text)
    try:
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            # Many programs break its lines.
            return base64.b64decode(b"".join(_ascii(text).split()), validate=True)
    except ValueError as error:
        raise SeldonMicroserviceException(f"binData is not base64: {error}") from None


def _ascii(text: str | bytes) -> bytes:
    return text.encode("ascii") if isinstance(text, str) else text


def _check_meta(meta: Any) -> None:
    if not isinstance(meta, dict):
        raise _wrong("meta", "an object", meta)
    for name, kind, wanted in (
        ("tags", dict, "an object"),
        ("requestPath", dict, "an object of texts"),
        ("metrics", list, "a list"),
    ):
        value = meta.get(name)
        # What is empty says nothing, whatever its type: some languages write [] for {}.
        if value and not isinstance(value, kind):
            raise _wrong(f"meta.{name}", wanted, value)


def _wrong(member: str, wanted: str, value: Any) -> SeldonMicroserviceException:
    return SeldonMicroserviceException(
        f"{member} must be {wanted}, not {'null' if value is None else brief(value)}"
    )


def _no_message(message: Any, strict: bool) -> SeldonMicroserviceException:
    if strict:
        return SeldonMicroserviceException(f"Invalid request data type: {message}")
    # Of a text Seldon shows no quotes.
    shown = brief(message)[1:-1] if isinstance(message, str) else brief(message)
    return SeldonMicroserviceException(f"Invalid request data type: {shown}. {_RIGHT}")
