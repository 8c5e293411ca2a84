"""ONNX files of a few operators, written without the package onnx: https://onnx.ai/onnx/intro/ (onnx.proto)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FLOAT, INT64, STRING = 1, 7, 8
IR_VERSION, OPSET_VERSION, CLASSIC_OPSET_VERSION = 8, 17, 3
CLASSIC = "ai.onnx.ml"
_INTS = 7


class Node(NamedTuple):
    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: dict[str, list[int]] = {}
    domain: str = ""


class Value(NamedTuple):
    """A tensor, or with shape None a list of maps from int64 to it, which ZipMap gives."""

    name: str
    element: int
    shape: Sequence[int | None] | None


def write_model(
    file: Path, nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]
) -> None:
    graph = b"".join(_field(1, _node(node)) for node in nodes) + _field(2, b"graph")
    graph += b"".join(_field(11, _value(value)) for value in inputs)
    graph += b"".join(_field(12, _value(value)) for value in outputs)
    opsets = [("", OPSET_VERSION), (CLASSIC, CLASSIC_OPSET_VERSION)]
    imports = [_field(1, domain.encode()) + _number(2, version) for domain, version in opsets]
    model = _number(1, IR_VERSION) + _field(7, graph)
    file.write_bytes(model + b"".join(_field(8, content) for content in imports))


def _node(node: Node) -> bytes:
    content = b"".join(_field(1, name.encode()) for name in node.inputs)
    content += b"".join(_field(2, name.encode()) for name in node.outputs)
    content += _field(4, node.operator.encode()) + _field(7, node.domain.encode())
    for name, numbers in node.attributes.items():
        attribute = _field(1, name.encode()) + _number(20, _INTS)
        attribute += b"".join(_number(8, number) for number in numbers)
        content += _field(5, attribute)
    return content


def _value(value: Value) -> bytes:
    if value.shape is not None:
        dimensions = [_number(1, size) if size else _field(2, b"n") for size in value.shape]
        shape = b"".join(_field(1, dimension) for dimension in dimensions)
        kind = _field(1, _number(1, value.element) + _field(2, shape))
    else:
        tensor = _field(1, _number(1, value.element) + _field(2, b""))
        kind = _field(4, _field(1, _field(5, _number(1, INT64) + _field(2, tensor))))
    return _field(1, value.name.encode()) + _field(2, kind)


def _varint(number: int) -> bytes:
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*content, number])


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content
