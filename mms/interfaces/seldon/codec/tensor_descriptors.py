"""Descriptors of `tensorflow.TensorProto`: those of an installed TensorFlow, else our own of the same facts.

A descriptor pool takes a file name once. Were ours in it under TensorFlow's names when a component
imports TensorFlow, that import would fail wherever the two differ; so the bytes are read from its
files, without importing it.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from google.protobuf import descriptor_pb2

from mms.bodies.descriptor_text import enum_of, file_of, message_of

TENSOR_FILE = "tensorflow/core/framework/tensor.proto"

_FOLDER = "tensorflow/core/framework"

# Name -> number. Those above 100 are the same types by reference.
_DATA_TYPES = {
    "DT_INVALID": 0,
    "DT_FLOAT": 1,
    "DT_DOUBLE": 2,
    "DT_INT32": 3,
    "DT_UINT8": 4,
    "DT_INT16": 5,
    "DT_INT8": 6,
    "DT_STRING": 7,
    "DT_COMPLEX64": 8,
    "DT_INT64": 9,
    "DT_BOOL": 10,
    "DT_QINT8": 11,
    "DT_QUINT8": 12,
    "DT_QINT32": 13,
    "DT_BFLOAT16": 14,
    "DT_QINT16": 15,
    "DT_QUINT16": 16,
    "DT_UINT16": 17,
    "DT_COMPLEX128": 18,
    "DT_HALF": 19,
    "DT_RESOURCE": 20,
    "DT_VARIANT": 21,
    "DT_UINT32": 22,
    "DT_UINT64": 23,
}


def tensor_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """The files that TENSOR_FILE consists of, each after those it needs."""
    return _installed_files() or _own_files()


def _installed_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """Those of an installed TensorFlow; none if there is none, or if its files look otherwise."""
    try:
        spec = importlib.util.find_spec("tensorflow")
    except ValueError:  # a stand-in among the loaded modules
        return []
    if spec is None:
        return []
    for location in spec.submodule_search_locations or ():
        found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        if _collect(Path(location).parent, TENSOR_FILE, found):
            return list(found.values())
    return []


def _collect(root: Path, name: str, found: dict[str, descriptor_pb2.FileDescriptorProto]) -> bool:
    """Adds the file of that name to `found`, those it needs before it; False if one is not there."""
    if name in found:
        return True
    source = root / (name.removesuffix(".proto") + "_pb2.py")
    if not source.is_file():
        return False
    content = _serialized_file(source)
    if content is None:
        return False
    file = descriptor_pb2.FileDescriptorProto.FromString(content)
    if not all(_collect(root, needed, found) for needed in file.dependency):
        return False
    found[name] = file
    return True


def _serialized_file(source: Path) -> bytes | None:
    """The bytes that a generated module gives to the descriptor pool."""
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Call) and node.args:
            argument = node.args[0]
            is_added = getattr(node.func, "attr", "") == "AddSerializedFile"
            if is_added and isinstance(argument, ast.Constant) and type(argument.value) is bytes:
                return argument.value
    return None


def _own_files() -> list[descriptor_pb2.FileDescriptorProto]:
    types = dict(_DATA_TYPES)
    for name, number in _DATA_TYPES.items():
        if number:
            types[f"{name}_REF"] = number + 100
    package = "tensorflow"
    return [
        file_of(f"{_FOLDER}/types.proto", package, enums=[enum_of("DataType", types)]),
        file_of(
            f"{_FOLDER}/tensor_shape.proto",
            package,
            messages=[
                message_of(
                    "TensorShapeProto",
                    "dim 2 repeated .tensorflow.TensorShapeProto.Dim",
                    "unknown_rank 3 bool",
                    nested=[message_of("Dim", "size 1 int64", "name 2 string")],
                )
            ],
        ),
        file_of(
            TENSOR_FILE,
            package,
            imports=[f"{_FOLDER}/tensor_shape.proto", f"{_FOLDER}/types.proto"],
            messages=[
                message_of(
                    "TensorProto",
                    "dtype 1 enum .tensorflow.DataType",
                    "tensor_shape 2 .tensorflow.TensorShapeProto",
                    "version_number 3 int32",
                    "tensor_content 4 bytes",
                    "half_val 13 repeated int32",
                    "float_val 5 repeated float",
                    "double_val 6 repeated double",
                    "int_val 7 repeated int32",
                    "string_val 8 repeated bytes",
                    "scomplex_val 9 repeated float",
                    "int64_val 10 repeated int64",
                    "bool_val 11 repeated bool",
                    "dcomplex_val 12 repeated double",
                    "uint32_val 16 repeated uint32",
                    "uint64_val 17 repeated uint64",
                )
            ],
        ),
    ]
