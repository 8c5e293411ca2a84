"""Conversions between messages, JSON and arrays, and readers of environment variables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from mms.interfaces.seldon.codec.forms import Array, Form, array_of
from mms.interfaces.seldon.codec.json_decoding import decode_json
from mms.interfaces.seldon.codec.json_encoding import encode_json
from mms.interfaces.seldon.codec.messages import (
    DefaultData,
    SeldonMessageList,
    SeldonModelMetadata,
    Tensor,
    struct_pb2,
)
from mms.interfaces.seldon.codec.proto_payload import (
    array_of_data,
    decode_proto,
    encode_proto,
    list_content,
    meta_of,
)
from mms.interfaces.seldon.codec.tensor_proto import json_of_array, tensor_of
from mms.interfaces.seldon.components.feedback import (
    feedback_of_json,
    feedback_parts,
    json_of_message,
    message_of_json,
)
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.interfaces.seldon.meta import UNKNOWN_IMAGE, UNKNOWN_UNIT, own_request_path, response_meta

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(__name__)

ENV_MODEL_NAME = "PREDICTIVE_UNIT_ID"
ENV_MODEL_IMAGE = "PREDICTIVE_UNIT_IMAGE"
NONIMPLEMENTED_MSG = UNKNOWN_UNIT
NONIMPLEMENTED_IMAGE_MSG = UNKNOWN_IMAGE


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


def construct_response_json(
    user_model: Any,
    is_request: bool,
    client_request_raw: Any,
    client_raw_response: Any,
    meta: dict[str, Any] | None = None,
    custom_metrics: list[dict[str, Any]] | None = None,
    runtime_tags: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The SeldonMessage of a hook's result, as decoded JSON, in the form of the request.

    `is_request`: its columns have the names of the request's, else those of the class. Raises
    SeldonMicroserviceException for a result that is no payload.
    """
    data = client_request_raw.get("data") if isinstance(client_request_raw, dict) else None
    sent = data if isinstance(data, dict) else None
    form = Form.NONE
    if sent is not None:
        form = next((f for f in (Form.TENSOR, Form.TFTENSOR) if f.value in sent), Form.NDARRAY)
    names = _names(user_model, client_raw_response, is_request, (sent or {}).get("names") or [])
    request_meta = client_request_raw.get("meta") if isinstance(client_request_raw, dict) else None
    answer = response_meta(
        meta,
        tags=_tags(user_model),
        runtime_tags=runtime_tags,
        metrics=custom_metrics or (),
        request_path=get_request_path(),
        puid=(request_meta or {}).get("puid"),
    )
    message = encode_json(client_raw_response, form, lambda: names, answer)
    if isinstance(client_raw_response, np.ndarray | list):
        array = array_of(client_raw_response)
        found = array_to_rest_datadef(_member_of(message["data"]), array, names)
        if "ndarray" in found and isinstance(client_raw_response, list):
            # As it is: whole numbers beside fractions stay whole.
            found["ndarray"] = client_raw_response
        message["data"] = found
    return message


def construct_response(
    user_model: Any,
    is_request: bool,
    client_request: Any,
    client_raw_response: Any,
    meta: dict[str, Any] | None = None,
    custom_metrics: list[dict[str, Any]] | None = None,
    runtime_tags: dict[str, Any] | None = None,
) -> Any:
    """As `construct_response_json`, of and as protobuf messages."""
    form = Form.NONE
    if client_request.WhichOneof("data_oneof") == "data":
        form = Form(client_request.data.WhichOneof("data_oneof") or "ndarray")
    sent = list(client_request.data.names)
    names = _names(user_model, client_raw_response, is_request, sent)
    answer = response_meta(
        meta,
        tags=_tags(user_model),
        runtime_tags=runtime_tags,
        metrics=custom_metrics or (),
        request_path=get_request_path(),
        puid=client_request.meta.puid,
    )
    message = encode_proto(client_raw_response, form, lambda: names, answer)
    if message.HasField("data"):
        # Those of a request are told whatever the shape of the result.
        message.data.names[:] = names
    return message


def _names(user_model: Any, result: Any, is_request: bool, sent: Any) -> Any:
    from .user_model import client_class_names, client_feature_names

    if is_request:
        return client_feature_names(user_model, sent)
    if not isinstance(result, np.ndarray | list):
        return []
    return client_class_names(user_model, array_of(result))


def _tags(user_model: Any) -> Any:
    from .user_model import client_custom_tags

    return client_custom_tags(user_model)


def _member_of(data: Any) -> str:
    return next(form.value for form in Form if form.value and form.value in data)


def getenv(*env_vars: str, default: Any = None) -> Any:
    """The first of these variables that is set."""
    return next((os.environ[name] for name in env_vars if name in os.environ), default)


def getenv_as_bool(*env_vars: str, default: Any = False) -> Any:
    """Whether the first of these variables that is set is 1, t or true, in any case."""
    text = getenv(*env_vars)
    return default if text is None else text.lower() in ("1", "true", "t")
