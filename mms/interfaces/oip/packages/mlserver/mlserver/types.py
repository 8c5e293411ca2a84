"""Requests, answers and metadata, as MLServer's models see them."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

from .record import Record


class Datatype(str, enum.Enum):
    """The datatypes of tensors."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    def __str__(self) -> str:
        return str(self.value)


class TensorData:
    """The elements of a tensor: a list, or an array that becomes one when somebody asks for it."""

    def __init__(self, root: Any = None) -> None:
        self._root = root.root if isinstance(root, TensorData) else root

    def __repr__(self) -> str:
        return f"TensorData({self._root!r})"

    @property
    def array(self) -> Any:
        """The array that it was made with, None where that was a list."""
        return self._root if hasattr(self._root, "dtype") else None

    @property
    def root(self) -> Any:
        """The elements one behind the other, or as whoever made it nested them."""
        return self._root if self.array is None else self.array.ravel().tolist()

    @property
    def __root__(self) -> Any:
        return self.root

    def __iter__(self) -> Iterator[Any]:
        return iter(self.root)

    def __getitem__(self, index: Any) -> Any:
        return self.root[index]

    def __len__(self) -> int:
        return self.array.size if self.array is not None else len(self._root)

    def __eq__(self, other: object) -> bool:
        return bool(self.root == (other.root if isinstance(other, TensorData) else other))

    __hash__ = None  # type: ignore[assignment]  # it may change


class Parameters(Record):
    """What clients and models say besides tensors; any other member, too."""

    _members = {"content_type": None, "headers": None}
    _is_open = True
    content_type: str | None
    headers: dict[str, str] | None


class _Tensor(Record):
    _members = {"name": "", "shape": (), "datatype": "", "parameters": None, "data": None}
    _kinds = {"parameters": Parameters}
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None
    data: TensorData

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "data" and not isinstance(value, TensorData):
            value = TensorData(value)
        elif name == "datatype":
            value = Datatype(value) if value in Datatype.__members__ else value
        super().__setattr__(name, value)


class RequestInput(_Tensor):
    """A tensor of a request."""


class ResponseOutput(_Tensor):
    """A tensor of an answer."""


class RequestOutput(Record):
    """An output that a client asks for."""

    _members = {"name": "", "parameters": None}
    _kinds = {"parameters": Parameters}
    name: str
    parameters: Parameters | None


class InferenceRequest(Record):
    """One client's request, or several that were joined."""

    _members = {"id": None, "parameters": None, "inputs": (), "outputs": None}
    _kinds = {"parameters": Parameters, "inputs": RequestInput, "outputs": RequestOutput}
    id: str | None
    parameters: Parameters | None
    inputs: list[RequestInput]
    outputs: list[RequestOutput] | None


class InferenceResponse(Record):
    """The answer to a request."""

    _members = {
        "model_name": "",
        "model_version": None,
        "id": None,
        "parameters": None,
        "outputs": (),
    }
    _kinds = {"parameters": Parameters, "outputs": ResponseOutput}
    model_name: str
    model_version: str | None
    id: str | None
    parameters: Parameters | None
    outputs: list[ResponseOutput]


class MetadataTensor(Record):
    """What a model declares of a tensor."""

    _members = {"name": "", "datatype": "", "shape": (), "parameters": None}
    _kinds = {"parameters": Parameters}
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None


class MetadataModelResponse(Record):
    """What a model declares."""

    _members = {
        "name": "",
        "versions": None,
        "platform": "",
        "inputs": None,
        "outputs": None,
        "parameters": None,
    }
    _kinds = {"parameters": Parameters, "inputs": MetadataTensor, "outputs": MetadataTensor}
