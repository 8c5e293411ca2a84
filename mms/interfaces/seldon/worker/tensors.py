"""Requests of a protocol of tensors to a Seldon component: its `predict` on an array, or on named columns."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from mms.interfaces.seldon.components.component import Component
from mms.interfaces.seldon.errors import error_answer
from mms.interfaces.seldon.tensors.inputs import plain_tags, values_of, x_of
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, InferResponse, JsonDocument
from mms.wire import Load
from mms.worker.tensors.failures import Failures
from mms.worker.tensors.items import declaration_of

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
            return {name: values_of(tensor) for name, tensor in inputs.items()}, []
        return x_of(request, is_table=self._has_columns)

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
        return response._replace(parameters=plain_tags(tags)) if tags else response

    def _failure(self, error: Exception) -> InferError:
        """Errors that a component has chosen have their own status."""
        if callable(getattr(error, "to_dict", None)):
            found = error_answer(error)
            return InferError(found.message, found.status if 400 <= found.status <= 599 else 500)
        return self._failures.of(error)
