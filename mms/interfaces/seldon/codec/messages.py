"""The protobuf messages and services of Seldon's `prediction.proto`, made from descriptors at import.

They live in the default descriptor pool, so that a component's `google.protobuf` messages (Any,
ListValue) fit into them. Where Seldon's own package is the importable `seldon_core`, its classes
are taken instead: a pool holds each name once, and components compare types.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

from google.protobuf import any_pb2 as any_pb2
from google.protobuf import descriptor_pool, empty_pb2, message_factory
from google.protobuf import struct_pb2 as struct_pb2
from google.protobuf.message import DecodeError

from mms.bodies.descriptor_text import enum_of, file_of, message_of
from mms.interfaces.seldon.codec.tensor_descriptors import TENSOR_FILE, tensor_files
from mms.interfaces.seldon.errors import SeldonMicroserviceException

PACKAGE = "seldon.protos"
FILE_NAME = "proto/prediction.proto"

#: Set in the package that stands in for Seldon's.
SHIM_MARK = "mms_seldon_shim"

_P = f".{PACKAGE}"
_MESSAGE = f"{_P}.SeldonMessage"
_MESSAGES = f"{_P}.SeldonMessageList"
_FEEDBACK = f"{_P}.Feedback"
_METADATA = f"{_P}.SeldonModelMetadata"
_EMPTY = ".google.protobuf.Empty"

_SERVICES = {
    "Generic": (
        f"TransformInput {_MESSAGE} {_MESSAGE}",
        f"TransformOutput {_MESSAGE} {_MESSAGE}",
        f"Route {_MESSAGE} {_MESSAGE}",
        f"Aggregate {_MESSAGES} {_MESSAGE}",
        f"SendFeedback {_FEEDBACK} {_MESSAGE}",
    ),
    "Model": (
        f"Predict {_MESSAGE} {_MESSAGE}",
        f"SendFeedback {_FEEDBACK} {_MESSAGE}",
        f"Metadata {_EMPTY} {_METADATA}",
    ),
    "Router": (f"Route {_MESSAGE} {_MESSAGE}", f"SendFeedback {_FEEDBACK} {_MESSAGE}"),
    "Transformer": (f"TransformInput {_MESSAGE} {_MESSAGE}",),
    "OutputTransformer": (f"TransformOutput {_MESSAGE} {_MESSAGE}",),
    "Combiner": (f"Aggregate {_MESSAGES} {_MESSAGE}",),
    "Seldon": (
        f"Predict {_MESSAGE} {_MESSAGE}",
        f"SendFeedback {_FEEDBACK} {_MESSAGE}",
        f"ModelMetadata {_P}.SeldonModelMetadataRequest {_METADATA}",
        f"GraphMetadata {_EMPTY} {_P}.SeldonGraphMetadata",
    ),
}

#: Method -> the operation that a component does for it.
_OPERATIONS = {
    "Predict": "predict",
    "TransformInput": "transform-input",
    "TransformOutput": "transform-output",
    "Route": "route",
    "Aggregate": "aggregate",
    "SendFeedback": "send-feedback",
    "Metadata": "metadata",
    "ModelMetadata": "metadata",
    "GraphMetadata": "graph-metadata",
}


class Method(NamedTuple):
    """A method of a service: `operation` as in the header `:operation`, or "graph-metadata"."""

    name: str
    request_class: Any
    response_class: Any
    operation: str


def _prediction_file() -> Any:
    return file_of(
        FILE_NAME,
        PACKAGE,
        imports=[
            "google/protobuf/any.proto",
            "google/protobuf/struct.proto",
            "google/protobuf/empty.proto",
            TENSOR_FILE,
        ],
        messages=[
            message_of(
                "SeldonMessage",
                f"status 1 {_P}.Status",
                f"meta 2 {_P}.Meta",
                f"data 3 oneof:data_oneof {_P}.DefaultData",
                "binData 4 oneof:data_oneof bytes",
                "strData 5 oneof:data_oneof string",
                "jsonData 6 oneof:data_oneof .google.protobuf.Value",
                "customData 7 oneof:data_oneof .google.protobuf.Any",
            ),
            message_of(
                "DefaultData",
                "names 1 repeated string",
                f"tensor 2 oneof:data_oneof {_P}.Tensor",
                "ndarray 3 oneof:data_oneof .google.protobuf.ListValue",
                "tftensor 4 oneof:data_oneof .tensorflow.TensorProto",
            ),
            message_of("Tensor", "shape 1 repeated int32", "values 2 repeated double"),
            message_of(
                "Meta",
                "puid 1 string",
                "tags 2 map .google.protobuf.Value",
                "routing 3 map int32",
                "requestPath 4 map string",
                f"metrics 5 repeated {_P}.Metric",
            ),
            message_of(
                "Metric",
                "key 1 string",
                "type 2 enum @MetricType",
                "value 3 float",
                "tags 4 map string",
                enums=[enum_of("MetricType", {"COUNTER": 0, "GAUGE": 1, "TIMER": 2})],
            ),
            message_of("SeldonMessageList", f"seldonMessages 1 repeated {_MESSAGE}"),
            message_of(
                "Status",
                "code 1 int32",
                "info 2 string",
                "reason 3 string",
                "status 4 enum @StatusFlag",
                enums=[enum_of("StatusFlag", {"SUCCESS": 0, "FAILURE": 1})],
            ),
            message_of(
                "Feedback",
                f"request 1 {_MESSAGE}",
                f"response 2 {_MESSAGE}",
                "reward 3 float",
                f"truth 4 {_MESSAGE}",
            ),
            message_of("RequestResponse", f"request 1 {_MESSAGE}", f"response 2 {_MESSAGE}"),
            message_of("SeldonModelMetadataRequest", "name 1 string"),
            message_of(
                "SeldonMessageMetadata",
                "messagetype 1 string",
                "schema 2 .google.protobuf.Value",
                "name 3 string",
                "datatype 4 string",
                "shape 5 repeated int64",
            ),
            message_of(
                "SeldonModelMetadata",
                "name 1 string",
                "versions 2 repeated string",
                "platform 3 string",
                f"inputs 4 repeated {_P}.SeldonMessageMetadata",
                f"outputs 5 repeated {_P}.SeldonMessageMetadata",
                "custom 6 map string",
            ),
            message_of(
                "SeldonGraphMetadata",
                "name 1 string",
                f"models 2 map {_METADATA}",
                f"inputs 3 repeated {_P}.SeldonMessageMetadata",
                f"outputs 4 repeated {_P}.SeldonMessageMetadata",
            ),
        ],
        services=_SERVICES,
    )


def _is_in(pool: Any, file_name: str) -> bool:
    try:
        pool.FindFileByName(file_name)
    except KeyError:
        return False
    return True


def _file_of_seldons_package() -> Any:
    """The file descriptor of an importable `seldon_core` that is Seldon's own; None if there is none.

    Its generated code refuses to load with protobuf 4 and later (a TypeError); ours serves then.
    """
    try:
        if importlib.util.find_spec("seldon_core") is None:
            return None
    except ValueError:  # a stand-in among the loaded modules
        return None
    if hasattr(importlib.import_module("seldon_core"), SHIM_MARK):
        return None
    try:
        return importlib.import_module("seldon_core.proto.prediction_pb2").DESCRIPTOR
    except (ImportError, TypeError):
        return None


def _find_or_add_file() -> Any:
    pool = descriptor_pool.Default()
    found = _file_of_seldons_package()
    if found is not None:
        return found
    if not _is_in(pool, FILE_NAME):
        if not _is_in(pool, TENSOR_FILE):
            for file in tensor_files():
                pool.AddSerializedFile(file.SerializeToString())
        pool.AddSerializedFile(_prediction_file().SerializeToString())
    return pool.FindFileByName(FILE_NAME)


def _class_of(descriptor: Any) -> Any:
    # The function came with protobuf 4.22; before it there was a factory.
    make = getattr(message_factory, "GetMessageClass", None)
    if make is None:
        make = message_factory.MessageFactory(POOL).GetPrototype
    return make(descriptor)


FILE_DESCRIPTOR: Any = _find_or_add_file()
POOL: Any = FILE_DESCRIPTOR.pool

CLASSES: dict[str, Any] = {
    name: _class_of(descriptor)
    for name, descriptor in FILE_DESCRIPTOR.message_types_by_name.items()
}
SeldonMessage: Any = CLASSES["SeldonMessage"]
DefaultData: Any = CLASSES["DefaultData"]
Tensor: Any = CLASSES["Tensor"]
Meta: Any = CLASSES["Meta"]
Metric: Any = CLASSES["Metric"]
SeldonMessageList: Any = CLASSES["SeldonMessageList"]
Status: Any = CLASSES["Status"]
Feedback: Any = CLASSES["Feedback"]
RequestResponse: Any = CLASSES["RequestResponse"]
SeldonModelMetadataRequest: Any = CLASSES["SeldonModelMetadataRequest"]
SeldonMessageMetadata: Any = CLASSES["SeldonMessageMetadata"]
SeldonModelMetadata: Any = CLASSES["SeldonModelMetadata"]
SeldonGraphMetadata: Any = CLASSES["SeldonGraphMetadata"]
TensorProto: Any = _class_of(DefaultData.DESCRIPTOR.fields_by_name["tftensor"].message_type)
Empty: Any = empty_pb2.Empty


def parse_message(message_class: Any, body: bytes | bytearray | memoryview) -> Any:
    """The message of serialized bytes. Raises SeldonMicroserviceException (400) for bytes of none."""
    try:
        return message_class.FromString(bytes(body))
    except DecodeError as error:
        name = message_class.DESCRIPTOR.name
        raise SeldonMicroserviceException(f"The body is not a {name}: {error}") from None


def _class_named(full_name: str) -> Any:
    name = full_name.rpartition(".")[2]
    return CLASSES.get(name, Empty)


#: Service ("seldon.protos.Model") -> method name -> Method.
SERVICES: dict[str, dict[str, Method]] = {
    service.full_name: {
        method.name: Method(
            method.name,
            _class_named(method.input_type.full_name),
            _class_named(method.output_type.full_name),
            _OPERATIONS[method.name],
        )
        for method in service.methods
    }
    for service in FILE_DESCRIPTOR.services_by_name.values()
}
