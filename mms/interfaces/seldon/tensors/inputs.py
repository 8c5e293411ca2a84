"""Requests of a protocol of tensors as the X of components: one array, or a table with named columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mms.interfaces.seldon.codec.forms import Array, is_numeric
from mms.tensors.declaration import INPUT
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, Parameter, Tensor
from mms.text.brief import brief

#: An input with the names of the columns of another one.
_NAMES: Final = "names"


def x_of(request: InferRequest, *, is_table: bool = False) -> tuple[Array, list[str]]:
    """Return X and the names of its columns. `is_table`: each input is a column.

    Raises InferError where no input is numeric; rows of a document may be texts, too.
    """
    inputs = request.inputs
    if is_table or (request.document is not None and len(inputs) > 1):
        return _table(inputs), list(inputs)
    if request.document is not None:
        return _rows_of_document(inputs)
    for name, tensor in inputs.items():
        if is_numeric(tensor.array):
            return tensor.array, _column_names(name, tensor, inputs)
    has = ", ".join(f"{brief(name)} ({tensor.datatype})" for name, tensor in inputs.items())
    raise InferError(
        f"the model takes numbers, and no input of the request is numeric; it has {has or 'none'}"
    )


def _rows_of_document(inputs: Mapping[str, Tensor]) -> tuple[Array, list[str]]:
    """Return X of the only input: KServe's servers take texts, too."""
    ((name, tensor),) = inputs.items()
    return values_of(tensor), [] if name == INPUT else _column_names(name, tensor, {})


def _column_names(name: str, tensor: Tensor, inputs: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the columns of an input: those that another input has, else its own for its only column."""
    named = inputs.get(_NAMES)
    if named is not None and named.array.dtype == object:
        return [element.decode("utf-8", "replace") for element in named.array.ravel().tolist()]
    is_column = len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)
    return [name] if is_column else []


def _table(inputs: Mapping[str, Tensor]) -> Array:
    """Return a table whose columns are the inputs. Raises InferError where they are not of equally many rows."""
    columns = []
    for name, tensor in inputs.items():
        shape = list(tensor.shape)
        if len(shape) > 2 or not shape or (len(shape) == 2 and shape[1] != 1):
            raise InferError(
                f"input {brief(name)} has the shape {shape}; the model takes columns, of the shape [rows] or [rows, 1]"
            )
        columns.append(values_of(tensor).reshape(-1))
    rows = [len(column) for column in columns]
    if len(set(rows)) > 1:
        raise InferError(f"the columns {', '.join(inputs)} have {rows} rows; each has equally many")
    table: Array
    if any(column.dtype == object for column in columns):
        table = np.empty((rows[0], len(columns)), object)
        for index, column in enumerate(columns):
            table[:, index] = column
    else:
        table = np.stack(columns, axis=1)
    return table


def values_of(tensor: Tensor) -> Array:
    """Return the array of an input; of BYTES the texts where they are such."""
    if tensor.array.dtype != object:
        return tensor.array
    try:
        texts = [element.decode() for element in tensor.array.ravel().tolist()]
    except UnicodeDecodeError:
        return tensor.array
    found: Array = np.empty(len(texts), object)
    found[:] = texts
    found = found.reshape(tensor.array.shape)
    return found


def plain_tags(tags: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return of tags what parameters may be."""
    return {
        str(key): value
        for key, value in tags.items()
        if isinstance(value, bool | int | float | str)
    }
