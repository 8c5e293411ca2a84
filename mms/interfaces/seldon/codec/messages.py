"""The protobuf messages and services of Seldon's `prediction.proto`, from compiled descriptors.

They live in the default descriptor pool, so that a component's `google.protobuf` messages (Any,
ListValue) fit into them. Where Seldon's own package is the importable `seldon_core`, its classes
are taken instead: a pool holds each name once, and components compare types.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import any_pb2 as any_pb2
from google.protobuf import descriptor_pool, empty_pb2
from google.protobuf import struct_pb2 as struct_pb2
from google.protobuf.message import DecodeError

from mms.bodies.protobuf_files import descriptor_files, message_class
from mms.interfaces.seldon.codec.tensor_descriptors import TENSOR_FILE, tensor_files
from mms.interfaces.seldon.errors import SeldonMicroserviceException

PACKAGE = "seldon.protos"
FILE_NAME = "proto/prediction.proto"

#: Set in the package that stands in for Seldon's.
SHIM_MARK = "mms_seldon_shim"

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


def _is_in(pool: Any, file_name: str) -> bool:
    try:
        pool.FindFileByName(file_name)
    except KeyError:
        return False
    return True


def _file_of_seldons_package() -> Any:
    """Return the file descriptor of an importable `seldon_core` that is Seldon's own; None if there is none.

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
        for file in descriptor_files(Path(__file__).with_name("prediction.binpb")):
            pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(FILE_NAME)


FILE_DESCRIPTOR: Any = _find_or_add_file()
POOL: Any = FILE_DESCRIPTOR.pool

CLASSES: dict[str, Any] = {
    name: message_class(POOL, descriptor)
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
TensorProto: Any = message_class(
    POOL, DefaultData.DESCRIPTOR.fields_by_name["tftensor"].message_type
)
Empty: Any = empty_pb2.Empty


def parse_message(message_class: Any, body: bytes | bytearray | memoryview) -> Any:
    """Return the message of serialized bytes. Raises SeldonMicroserviceException (400) for bytes of none."""
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
