"""Protobuf messages from compiled descriptors, which `scripts/make_descriptors.py` makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def descriptor_files(path: Path) -> list[descriptor_pb2.FileDescriptorProto]:
    """Return the files of a serialized FileDescriptorSet, each after those that it imports."""
    return list(descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file)


def pool_of(path: Path) -> Any:
    """Return a descriptor pool of its own for a serialized FileDescriptorSet: other packages bring the same names."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_files(path):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def message_class(pool: Any, descriptor: Any) -> Any:
    """Return the class of a message; `pool` holds its descriptor."""
    # The function came with protobuf 4.22; before it there was a factory.
    make = getattr(message_factory, "GetMessageClass", None)
    if make is None:
        make = message_factory.MessageFactory(pool).GetPrototype
    return make(descriptor)
