"""The messages of gRPC's reflection service, in a pool of their own: other packages bring the same ones along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mms.bodies.protobuf_files import message_class, pool_of

_METHOD = "ServerReflectionInfo"
SERVICES = tuple(f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha"))


class Messages(NamedTuple):
    """The classes that a version of the service speaks in."""

    request: Any
    response: Any


POOL: Any = pool_of(Path(__file__).with_name("reflection.binpb"))


def messages_of(service: str) -> Messages:
    """Return the classes of one of SERVICES."""
    method = POOL.FindServiceByName(service).methods_by_name[_METHOD]
    return Messages(message_class(POOL, method.input_type), message_class(POOL, method.output_type))
