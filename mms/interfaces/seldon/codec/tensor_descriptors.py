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

from mms.bodies.protobuf_files import descriptor_files

TENSOR_FILE = "tensorflow/core/framework/tensor.proto"


def tensor_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """Return the files that TENSOR_FILE consists of, each after those it needs."""
    return _installed_files() or _own_files()


def _installed_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """Return those of an installed TensorFlow; none if there is none, or if its files look otherwise."""
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
    """Add the file of that name to `found`, those it needs before it. Return False if one is not there."""
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
    """Return the bytes that a generated module gives to the descriptor pool."""
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Call) and node.args:
            argument = node.args[0]
            is_added = getattr(node.func, "attr", "") == "AddSerializedFile"
            if is_added and isinstance(argument, ast.Constant) and type(argument.value) is bytes:
                return argument.value
    return None


def _own_files() -> list[descriptor_pb2.FileDescriptorProto]:
    return descriptor_files(Path(__file__).with_name("tensor.binpb"))
