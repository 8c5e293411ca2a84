"""Conversions between messages, JSON and arrays, and readers of environment variables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from mms.seldon.errors import SeldonMicroserviceException
from mms.seldon.feedback import feedback_of_json, feedback_parts, json_of_message, message_of_json
from mms.seldon.forms import Array
from mms.seldon.messages import (
    DefaultData,
    SeldonMessageList,
    SeldonModelMetadata,
    Tensor,
    struct_pb2,
)
from mms.seldon.meta import own_request_path
from mms.seldon.payload import decode_json, decode_proto
from mms.seldon.proto_payload import array_of_data, list_content, meta_of
from mms.seldon.tensor_proto import json_of_array, tensor_of


def json_to_seldon_message(message_json: Any) -> Any:
    """The SeldonMessage of decoded JSON. Raises SeldonMicroserviceException for what it cannot hold."""
    return message_of_json(message_json)


def json_to_feedback(message_json: Any) -> Any:
    return feedback_of_json(message_json)


def json_to_seldon_messages(message_json: Any) -> Any:
    """The SeldonMessageList of decoded JSON."""
    return _parsed(message_json, SeldonMessageList(), "JSON", False)


def json_to_seldon_model_metadata(metadata_json: Any) -> Any:
    """The SeldonModelMetadata of decoded JSON; members that it does not know are left out."""
    return _parsed(metadata_json, SeldonModelMetadata(), "metadata", True)


def _parsed(content: Any, message: Any, what: str, ignores_unknown: bool) -> Any:
    from google.protobuf import json_format

    try:
        return json_format.ParseDict(content or {}, message, ignore_unknown_fields=ignores_unknown)
    except json_format.ParseError as error:
        raise SeldonMicroserviceException(f"Invalid {what}: {error}") from None


def seldon_message_to_json(message_proto: Any) -> dict[str, Any]:
    return json_of_message(message_proto)


def seldon_messages_to_json(message_protos: Any) -> dict[str, Any]:
    return json_of_message(message_protos)


def feedback_to_json(message_proto: Any) -> dict[str, Any]:
    return json_of_message(message_proto)


def get_data_from_proto(request: Any) -> Any:
    """The array, text, bytes, JSON value or Any of a SeldonMessage."""
    return decode_proto(request).value


def get_meta_from_proto(request: Any) -> dict[str, Any]:
    return meta_of(request.meta)


def grpc_datadef_to_array(datadef: Any) -> Array:
    return array_of_data(datadef)


def array_to_grpc_datadef(data_type: str, array: Array, names: Iterable[str] | None = None) -> Any:
    """A DefaultData in the form "tensor" or "tftensor", or else as ndarray."""
    data = DefaultData(names=names)
    if data_type == "tensor":
        data.tensor.CopyFrom(Tensor(shape=array.shape, values=array.ravel().tolist()))
    elif data_type == "tftensor":
        data.tftensor.CopyFrom(tensor_of(array))
    else:
        data.ndarray.CopyFrom(array_to_list_value(array))
    return data


def array_to_rest_datadef(
    data_type: str, array: Array, names: list[str] | None = None
) -> dict[str, Any]:
    """The `data` of a JSON message, in the form as for `array_to_grpc_datadef`."""
    data: dict[str, Any] = {"names": [] if names is None else names}
    if data_type == "tensor":
        data["tensor"] = {"shape": array.shape, "values": array.ravel().tolist()}
    elif data_type == "tftensor":
        data["tftensor"] = json_of_array(array)
    else:
        data["ndarray"] = array.tolist()
    return data


def array_to_list_value(array: Array, lv: Any = None) -> Any:
    """The ListValue of an array, or `lv` with its elements added."""
    values = struct_pb2.ListValue() if lv is None else lv
    values.MergeFromString(list_content(np.asarray(array)))
    return values


def extract_request_parts(request: Any) -> tuple[Any, dict[str, Any], Any, str]:
    """(value, meta, data, name of the payload's member) of a SeldonMessage."""
    incoming = decode_proto(request)
    return incoming.value, incoming.meta or {}, request.data, request.WhichOneof("data_oneof")


def extract_request_parts_json(request: Any) -> tuple[Any, dict[str, Any] | None, Any, str]:
    """(value, meta, data, name of the payload's member) of a message as decoded JSON."""
    incoming = decode_json(request, strict=True)
    members = ("data", "jsonData", "strData", "binData")
    found = next(member for member in members if member in request)
    data = request["data"] if found == "data" else None
    return incoming.value, incoming.meta, data, found


def extract_feedback_request_parts(request: Any) -> tuple[Any, Array, Array, float]:
    """(data of the request, its array, the truth's array, reward) of a Feedback."""
    parts = feedback_parts(request, "0")
    return request.request.data, parts.features, parts.truth, parts.reward


def get_request_path() -> dict[str, str]:
    """The component's own entry of requestPath."""
    return own_request_path(
        os.environ.get("PREDICTIVE_UNIT_ID"), os.environ.get("PREDICTIVE_UNIT_IMAGE")
    )


def getenv(*env_vars: str, default: Any = None) -> Any:
    """The first of these variables that is set."""
    return next((os.environ[name] for name in env_vars if name in os.environ), default)


def getenv_as_bool(*env_vars: str, default: Any = False) -> Any:
    """Whether the first of these variables that is set is 1, t or true, in any case."""
    text = getenv(*env_vars)
    return default if text is None else text.lower() in ("1", "true", "t")


__all__ = [
    "array_to_grpc_datadef",
    "array_to_list_value",
    "array_to_rest_datadef",
    "extract_feedback_request_parts",
    "extract_request_parts",
    "extract_request_parts_json",
    "feedback_to_json",
    "get_data_from_proto",
    "get_meta_from_proto",
    "get_request_path",
    "getenv",
    "getenv_as_bool",
    "grpc_datadef_to_array",
    "json_to_feedback",
    "json_to_seldon_message",
    "json_to_seldon_messages",
    "json_to_seldon_model_metadata",
    "seldon_message_to_json",
    "seldon_messages_to_json",
]
