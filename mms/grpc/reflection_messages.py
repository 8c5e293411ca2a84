"""The messages of gRPC's reflection service, in a pool of their own: other packages bring the same ones along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pool

from mms.bodies.protobuf_files import descriptor_files, message_class

_METHOD = "ServerReflectionInfo"
SERVICES = tuple(f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha"))


class Messages(NamedTuple):
    """The classes that a version of the service speaks in."""

    request: Any
    response: Any


def _make_pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_files(Path(__file__).with_name("reflection.binpb")):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL: Any = _make_pool()


def messages_of(service: str) -> Messages:
    """Return the classes of one of SERVICES."""
    method = POOL.FindServiceByName(service).methods_by_name[_METHOD]
    return Messages(message_class(POOL, method.input_type), message_class(POOL, method.output_type))
