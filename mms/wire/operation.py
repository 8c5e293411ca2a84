"""Which operation of a model a request asks for, as requests and batch frames carry it. Sans-IO."""

from __future__ import annotations

import json
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from mms.wire.frames import ProtocolError

#: Requests ask for a handful of operations; paths, which are the client's, have no more than a request line.
_MAX_REMEMBERED = 256
_SIZE = Struct("!I")


class GraphNode(NamedTuple):
    """The node of a graph that a request is for, and where that graph is deployed. Empty texts say nothing."""

    name: str = ""
    image: str = ""
    deployment: str = ""
    predictor: str = ""
    predictor_version: str = ""


NO_NODE = GraphNode()


class ModelOperation(NamedTuple):
    """An operation of a model besides MMS's prediction.

    `name`: of the operation; empty for the usual one. `method`: the client's HTTP method. `path`: the client's whole
    path, for a graph that reads it itself; else empty. `protocol`: of tensors, in which the request is written and
    whose codec reads it in the worker; empty for that of the model's interface. `takes_parts`: the client takes any
    number of answers to the request.
    """

    name: str = ""
    method: str = "POST"
    path: str = ""
    node: GraphNode = NO_NODE
    protocol: str = ""
    takes_parts: bool = False


@lru_cache(_MAX_REMEMBERED)
def encode_operation(operation: ModelOperation) -> bytes:
    """Its size (u32, big-endian) and its members as JSON."""
    text = json.dumps(operation, ensure_ascii=False, separators=(",", ":"))
    payload = text.encode("utf-8", "replace")
    return _SIZE.pack(len(payload)) + payload


def decode_operation(payload: bytes | bytearray, start: int) -> tuple[ModelOperation, int]:
    """The operation at a place of a payload, and the place behind it. Raises ProtocolError and struct.error."""
    (size,) = _SIZE.unpack_from(payload, start)
    start += _SIZE.size
    end = start + size
    return _decoded(bytes(payload[start:end])), end


@lru_cache(_MAX_REMEMBERED)
def _decoded(payload: bytes) -> ModelOperation:
    try:
        name, method, path, texts, protocol, takes_parts = json.loads(payload)
        node = GraphNode(*texts)
        place = node if any(node) else NO_NODE
        operation = ModelOperation(name, method, path, place, protocol, takes_parts is True)
    except (ValueError, TypeError, RecursionError):
        raise ProtocolError("an item of a batch frame whose operation is none") from None
    if not all(isinstance(text, str) for text in (name, method, path, *node, protocol)):
        raise ProtocolError("an item of a batch frame whose operation has other members than texts")
    return operation
