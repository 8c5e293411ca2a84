"""Requests whose rows, on axis 0 of their tensors, are joined for one call of a model, and its rows shared out."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.results import array_of
from mms.tensors.tensor import InferRequest, Parameter, Tensor
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

    def split(
        self, outputs: Mapping[Any, Any], declaration: ModelDeclaration | None = None
    ) -> list[dict[Any, Any]]:
        """Return what of the outputs belongs to each request, with the datatypes and parameters that they have.

        Raises WrongRows where one has not a row for each, and InferError (500) for what is no tensor. An output that
        nobody is answered may have any rows.
        """
        count = sum(self.rows)
        ends = np.cumsum(self.rows)
        answered = _answered(self.requests[0], declaration)
        parts: list[dict[Any, Any]] = [{} for _ in self.requests]
        for name, value in outputs.items():
            array = value.array if isinstance(value, Tensor) else array_of(name, value)
            if answered is not None and name not in answered and array.shape[:1] != (count,):
                for part in parts:
                    part[name] = value
                continue
            check_rows(name, array.shape, count)
            for part, rows, end in zip(parts, self.rows, ends, strict=True):
                own = array[end - rows : end]
                part[name] = (
                    value._replace(shape=own.shape, array=own) if isinstance(value, Tensor) else own
                )
        return parts

    def apart(self) -> list[Group]:
        """Return a group for each of its requests."""
        return [
            alone(place, request) for place, request in zip(self.places, self.requests, strict=True)
        ]


class WrongRows(InferError):
    """An output has another number of rows than the inputs of its call."""


def check_rows(name: str, shape: Sequence[int], count: int) -> None:
    """Raise WrongRows (500) where an output has another number of rows than the inputs of its call."""
    if shape and shape[0] == count:
        return
    came = f"{shape[0]} rows" if shape else "no rows"
    raise WrongRows(
        f"Output {brief(name)} has {came} for the {count} rows of the inputs; with max_batch_size each output has a "
        "row for each of them.",
        500,
    )


def arrays_of(request: InferRequest) -> dict[str, Array]:
    return {name: tensor.array for name, tensor in request.inputs.items()}


def parameters_for_model(request: InferRequest) -> dict[str, Parameter]:
    """Return what a client says to the model. What it says to the server may differ within a call."""
    return {name: each for name, each in request.parameters.items() if name not in _OF_SERVER}


def alone(place: int, request: InferRequest) -> Group:
    """Return a group of one request, whose rows nobody counts."""
    return Group([place], [request], [0])


def groups_of(requests: Sequence[InferRequest], most_rows: int) -> list[Group]:
    """Return the requests in groups of at most so many rows; one that alone has more is a group of its own.

    Only equal names, datatypes, shapes beyond axis 0, parameters and outputs go together, those of inputs and outputs
    included. A request without rows that all of its inputs have is a group of its own.
    """
    open_groups: dict[Hashable, Group] = {}
    groups: list[Group] = []
    for place, request in enumerate(requests):
        rows = rows_of(request)
        if rows is None:
            groups.append(alone(place, request))
            continue
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
        said = rows_of(request)
        rows = 1 if said is None else said
        if places and total + rows > most_rows:
            yield places
            places, total = [], 0
        places.append(place)
        total += rows
    if places:
        yield places


def rows_of(request: InferRequest) -> int | None:
    """Return how many rows, on axis 0, all inputs of a request have; None where they differ or one has no axis."""
    rows: int | None = None
    for tensor in request.inputs.values():
        if not tensor.shape or (rows is not None and tensor.shape[0] != rows):
            return None
        rows = tensor.shape[0]
    return rows


def _answered(
    request: InferRequest, declaration: ModelDeclaration | None
) -> Collection[str] | None:
    """Return the names of the outputs that a client gets; None for all that there are."""
    if request.outputs:
        return {output.name for output in request.outputs}
    if declaration is not None and declaration.outputs:
        return {output.name for output in declaration.outputs}
    return None


def _key(request: InferRequest) -> Hashable:
    # Inputs in their order, by which some models know them.
    return (
        tuple(
            (name, tensor.datatype, tuple(tensor.shape[1:]), _said(tensor.parameters))
            for name, tensor in request.inputs.items()
        ),
        _said(parameters_for_model(request)),
        None
        if request.outputs is None
        else tuple((output.name, _said(output.parameters)) for output in request.outputs),
        request.explains,
    )


def _said(parameters: Mapping[str, Parameter]) -> tuple[tuple[str, str], ...]:
    """Return parameters as a key has them: 1, 1.0 and true are three."""
    return tuple(sorted((name, repr(value)) for name, value in parameters.items()))
