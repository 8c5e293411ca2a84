"""The inputs and outputs that an ONNX model has, read from its file without ONNX's packages.

Source: onnx/onnx.proto. Weights are skipped: only the heads of what they lie in are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mms.bodies.protobuf_wire import read_varint
from mms.tensors.declaration import (
    ANY,
    InvalidDeclaration,
    ModelDeclaration,
    TensorDeclaration,
    all_or_none,
)

#: TensorProto.DataType.
_DATATYPES: Final = {
    1: "FP32",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "BYTES",
    9: "BOOL",
    10: "FP16",
    11: "FP64",
    12: "UINT32",
    13: "UINT64",
    16: "BF16",
}
_GRAPH: Final = 7
_INITIALIZER: Final = 5
_INITIALIZER_NAME: Final = 8
_INPUT: Final = 11
_OUTPUT: Final = 12
_SPARSE_INITIALIZER: Final = 15
#: Nodes, weights and tensors of the largest models are some hundred thousand.
_MAX_FIELDS: Final = 5_000_000
#: A node, or the head of a weight, takes some hundred bytes.
_WINDOW_BYTES: Final = 16_384
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_onnx(path: Path) -> ModelDeclaration:
    """Return the tensors of a model. One that is no tensor, as a classifier's list of dicts, is left out with all of
    its kind. Raises InvalidDeclaration for a file that is no model, and OSError."""
    with path.open("rb") as file:
        content = _Content(file.fileno())
        if not len(content):
            raise InvalidDeclaration(f"{path.name} is empty")
        try:
            return _declaration(content)
        except (IndexError, ValueError) as error:
            if isinstance(error, InvalidDeclaration):
                raise
            raise InvalidDeclaration(f"{path.name} is no model of ONNX: {error}") from None


class _Content:
    """The bytes of a file, read by windows. A mapping of a file that is cut off meanwhile would end the process.

    Bytes that are not there any more raise IndexError.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._start = 0
        self._window = b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: int) -> int:
        place = at - self._start
        if not 0 <= place < len(self._window):
            self._start, place = at, 0
            self._window = os.pread(self._descriptor, _WINDOW_BYTES, at)
        return self._window[place]

    def text(self, start: int, end: int) -> str:
        return os.pread(self._descriptor, end - start, start).decode("utf-8", "replace")


def _declaration(content: _Content) -> ModelDeclaration:
    graph = next(
        (
            (start, end)
            for number, start, end in _fields(content, 0, len(content))
            if number == _GRAPH
        ),
        None,
    )
    if graph is None:
        raise ValueError("it has no graph")
    weights: set[str] = set()
    inputs: list[TensorDeclaration | None] = []
    outputs: list[TensorDeclaration | None] = []
    for number, start, end in _fields(content, *graph):
        if number == _INITIALIZER:
            weights.add(_text(content, start, end, _INITIALIZER_NAME))
        elif number == _SPARSE_INITIALIZER:
            values = _part(content, start, end, 1)
            if values is not None:
                weights.add(_text(content, *values, _INITIALIZER_NAME))
        elif number == _INPUT:
            inputs.append(_tensor(content, start, end))
        elif number == _OUTPUT:
            outputs.append(_tensor(content, start, end))
    # Old models list their weights among their inputs.
    taken = [each for each in inputs if each is None or each.name not in weights]
    return ModelDeclaration(all_or_none(taken), all_or_none(outputs))


def _tensor(content: _Content, start: int, end: int) -> TensorDeclaration | None:
    """Return what a ValueInfoProto declares; None where it is no tensor of a known datatype and rank."""
    name = _text(content, start, end, 1)
    tensor = None
    kind = _part(content, start, end, 2)
    if kind is not None:
        tensor = _part(content, *kind, 1)
    if not name or tensor is None:
        return None
    datatype = ""
    shape: list[int] | None = None
    for number, at, until in _fields(content, *tensor):
        if number == 1:
            datatype = _DATATYPES.get(at, "")
        elif number == 2:
            shape = [_dimension(content, a, b) for n, a, b in _fields(content, at, until) if n == 1]
    if not datatype or shape is None:
        return None
    return TensorDeclaration(name, datatype, tuple(shape))


def _dimension(content: _Content, start: int, end: int) -> int:
    for number, value, _ in _fields(content, start, end):
        if number == 1:
            # Exporters write 0 and below for what they do not know.
            return value if 0 < value < 1 << 63 else ANY
    return ANY


def _text(content: _Content, start: int, end: int, number: int) -> str:
    found = _part(content, start, end, number)
    return "" if found is None else content.text(*found)


def _part(content: _Content, start: int, end: int, number: int) -> tuple[int, int] | None:
    return next(
        ((at, until) for found, at, until in _fields(content, start, end) if found == number), None
    )


def _fields(content: _Content, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, end) of each field of a message; of a varint (number, value, 0).

    Raises IndexError and ValueError for what is none.
    """
    at = start
    for _ in range(_MAX_FIELDS):
        if at >= end:
            break
        tag, at = read_varint(content, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = read_varint(content, at)
            yield tag >> 3, value, 0
            continue
        if kind == _BYTES:
            size, at = read_varint(content, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of type {kind}")
        if at + size > end:
            raise ValueError("it ends early")
        yield tag >> 3, at, at + size
        at += size
    if at < end:
        raise ValueError(f"it has more than {_MAX_FIELDS} fields")
    if at > end:
        raise ValueError("it ends early")
