"""Requests of a protocol of tensors to a Seldon component: its `predict` on an array, or on named columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mms.interfaces.seldon.codec.forms import Array, is_numeric
from mms.interfaces.seldon.components.component import Component
from mms.interfaces.seldon.errors import error_answer
from mms.tensors.declaration import INPUT
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, InferResponse, JsonDocument, Parameter, Tensor
from mms.text.brief import brief
from mms.wire import Load
from mms.worker.tensors.failures import Failures
from mms.worker.tensors.items import declaration_of

#: An input with the names of the columns of another one.
_NAMES = "names"
#: Of a saved model that takes its inputs by name, and not as columns of a table.
_BY_NAME = "takes_inputs_by_name"


class _Asked(NamedTuple):
    """A request as `predict` gets it. `place`: among those that came."""

    place: int
    request: InferRequest
    value: Any
    names: list[str]

    @property
    def key(self) -> Hashable:
        """Equal for what can be joined; None for what cannot."""
        value = self.value
        if not isinstance(value, np.ndarray) or value.ndim == 0:
            return None
        return value.dtype.str, value.shape[1:], tuple(self.names)


class ComponentTensors:
    """The `TensorServer` of one component."""

    explains = False
    reads_documents = False

    def __init__(
        self,
        component: Component,
        instance: Any,
        load: Load,
        *,
        joins_rows: bool = False,
    ) -> None:
        self._component = component
        self._takes_mapping = bool(getattr(instance, _BY_NAME, False))
        declaration = declaration_of(load)
        self._declaration = declaration
        #: Declared inputs that are columns of one table.
        self._has_columns = declaration is not None and len(declaration.inputs) > 1
        self._failures = Failures(load)
        self._joins_rows = joins_rows and component.joinable_call is not None

    def __repr__(self) -> str:
        return f"<ComponentTensors of {self._component!r}>"

    def infer(self, requests: list[InferRequest]) -> list[InferResponse | InferError]:
        answers: dict[int, InferResponse | InferError] = {}
        groups: dict[Hashable, list[_Asked]] = {}
        for place, request in enumerate(requests):
            try:
                asked = _Asked(place, request, *self._value_of(request))
            except InferError as error:
                answers[place] = error
                continue
            key = asked.key if self._joins_rows else None
            groups.setdefault(place if key is None else key, []).append(asked)
        for group in groups.values():
            found = self._joined(group) if len(group) > 1 else None
            for index, asked in enumerate(group):
                answers[asked.place] = self._answer(asked) if found is None else found[index]
        return [answers[place] for place in range(len(requests))]

    def _value_of(self, request: InferRequest) -> tuple[Any, list[str]]:
        """Return X and the names of its columns. Raises InferError where no input is numeric."""
        inputs = request.inputs
        if self._takes_mapping and self._declaration is not None:
            return {name: _values_of(tensor) for name, tensor in inputs.items()}, []
        if self._has_columns or (request.document is not None and len(inputs) > 1):
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

    def _answer(self, asked: _Asked) -> InferResponse | InferError:
        try:
            data, tags = self._component.predict_value(asked.value, asked.names)
            return self._response(data, tags, asked.request)
        except Exception as error:
            return self._failure(error)

    def _joined(self, group: list[_Asked]) -> list[InferResponse | InferError] | None:
        """None where each has to be asked for itself."""
        value = np.concatenate([asked.value for asked in group])
        try:
            data, tags = self._component.predict_value(value, group[0].names)
        except MemoryError:
            raise
        except Exception:
            # Whose request it was shows when each is asked for itself.
            return None
        is_rows = isinstance(data, list) or (isinstance(data, np.ndarray) and data.ndim > 0)
        if not is_rows or len(data) != len(value):
            return None
        answers: list[InferResponse | InferError] = []
        start = 0
        for asked in group:
            end = start + len(asked.value)
            try:
                answers.append(self._response(data[start:end], tags, asked.request))
            except Exception as error:
                answers.append(self._failure(error))
            start = end
        return answers

    def _response(self, data: Any, tags: Any, request: InferRequest) -> InferResponse:
        if request.document is not None and isinstance(data, list):
            # It may be more than a tensor can.
            return InferResponse([], document=JsonDocument(data))
        response = response_of(data, request, self._declaration)
        return response._replace(parameters=_plain(tags)) if tags else response

    def _failure(self, error: Exception) -> InferError:
        """Errors that a component has chosen have their own status."""
        if callable(getattr(error, "to_dict", None)):
            found = error_answer(error)
            return InferError(found.message, found.status if 400 <= found.status <= 599 else 500)
        return self._failures.of(error)


def _rows_of_document(inputs: Mapping[str, Tensor]) -> tuple[Array, list[str]]:
    """Return X of the only input: KServe's servers take texts, too."""
    ((name, tensor),) = inputs.items()
    return _values_of(tensor), [] if name == INPUT else _column_names(name, tensor, {})


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
        columns.append(_values_of(tensor).reshape(-1))
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


def _values_of(tensor: Tensor) -> Array:
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


def _plain(tags: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return of tags what parameters may be."""
    return {
        str(key): value
        for key, value in tags.items()
        if isinstance(value, bool | int | float | str)
    }
