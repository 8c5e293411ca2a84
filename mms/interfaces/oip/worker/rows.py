"""Requests whose rows, on axis 0 of their tensors, are joined for one call of a model, and its rows shared out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mms.tensors.errors import InferError
from mms.tensors.results import tensor_of
from mms.tensors.tensor import InferRequest
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.tensors.tensor import Array

#: Of a request's parameters, those that are not for the model.
_OF_SERVER: Final = frozenset(("timeout", "priority"))


class Group(NamedTuple):
    """Requests that one call is made for. `places`: of the requests. `rows`: of each."""

    places: list[int]
    requests: list[InferRequest]
    rows: list[int]

    def joined(self) -> dict[str, Array]:
        """Return the inputs of all of them, by name."""
        first = self.requests[0]
        if len(self.requests) == 1:
            return arrays_of(first)
        return {
            name: np.concatenate([request.inputs[name].array for request in self.requests])
            for name in first.inputs
        }

    def split(self, result: Mapping[str, Any]) -> list[dict[str, Array]]:
        """Return what of a result belongs to each request. Raises InferError (500) where it has not a row for each."""
        count = sum(self.rows)
        ends = np.cumsum(self.rows)
        parts: list[dict[str, Array]] = [{} for _ in self.requests]
        for name, value in result.items():
            array = tensor_of(name, value).array
            check_rows(name, array.shape, count)
            for part, rows, end in zip(parts, self.rows, ends, strict=True):
                part[name] = array[end - rows : end]
        return parts


def check_rows(name: str, shape: Sequence[int], count: int) -> None:
    """Raise InferError (500) where an output has another number of rows than the inputs of its call."""
    if shape and shape[0] == count:
        return
    came = f"{shape[0]} rows" if shape else "no rows"
    raise InferError(
        f"Output {brief(name)} has {came} for the {count} rows of the inputs; with max_batch_size each output has a "
        "row for each of them.",
        500,
    )


def arrays_of(request: InferRequest) -> dict[str, Array]:
    return {name: tensor.array for name, tensor in request.inputs.items()}


def alone(place: int, request: InferRequest) -> Group:
    """Return a group of one request, whose rows nobody counts."""
    return Group([place], [request], [0])


def groups_of(requests: Sequence[InferRequest], most_rows: int) -> list[Group]:
    """Return the requests in groups of at most so many rows; one that alone has more is a group of its own.

    Only equal names, datatypes, shapes beyond axis 0, parameters and outputs go together.
    """
    open_groups: dict[Hashable, Group] = {}
    groups: list[Group] = []
    for place, request in enumerate(requests):
        rows = rows_of(request)
        key = _key(request)
        group = open_groups.get(key)
        if group is None or sum(group.rows) + rows > most_rows:
            group = open_groups[key] = Group([], [], [])
            groups.append(group)
        group.places.append(place)
        group.requests.append(request)
        group.rows.append(rows)
    return groups


def groups_of_rows(requests: Sequence[InferRequest], most_rows: int) -> Iterable[list[int]]:
    """Yield the places of requests that together have at most so many rows, in their order, whatever they are like."""
    places: list[int] = []
    total = 0
    for place, request in enumerate(requests):
        rows = rows_of(request)
        if places and total + rows > most_rows:
            yield places
            places, total = [], 0
        places.append(place)
        total += rows
    if places:
        yield places


def rows_of(request: InferRequest) -> int:
    """Return how many rows the inputs of a request have; 1 where they have none."""
    for tensor in request.inputs.values():
        return tensor.shape[0] if tensor.shape else 1
    return 1


def _key(request: InferRequest) -> Hashable:
    return (
        tuple(
            (name, tensor.datatype, tuple(tensor.shape[1:]))
            for name, tensor in sorted(request.inputs.items())
        ),
        tuple(
            sorted(
                (name, repr(value))
                for name, value in request.parameters.items()
                if name not in _OF_SERVER
            )
        ),
        None if request.outputs is None else tuple(output.name for output in request.outputs),
    )
