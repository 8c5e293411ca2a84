"""This server's own class of models of tensors: `load()`, and `predict(inputs, parameters)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mms.interfaces.oip.worker.outcomes import Outcome, awaited, outcome_of
from mms.interfaces.oip.worker.rows import Group, alone, check_rows, groups_of, rows_of
from mms.tensors.declaration import OUTPUT, ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, InferResponse
from mms.text.brief import brief
from mms.text.typed_value import typed_value
from mms.wire import Load
from mms.worker.running.awaiting import is_awaitable, wait_for
from mms.worker.tensors.failures import Failures


class ClassServer:
    """Serves one instance. Where it says `max_batch_size`, its class or its declaration, rows are joined."""

    def __init__(self, instance: Any, declaration: ModelDeclaration | None, load: Load) -> None:
        """Raises TypeError and ValueError for a class that cannot be called so."""
        self._predict = _predict_of(instance)
        self._declaration = declaration
        self._most_rows = _most_rows(instance, declaration)
        self._failures = Failures(load)
        self._name = type(instance).__name__
        self._unload = getattr(instance, "unload", None)

    def __repr__(self) -> str:
        return f"<ClassServer of {self._name}>"

    def close(self) -> None:
        if callable(self._unload):
            result = self._unload()
            if is_awaitable(result):
                wait_for(result)

    def infer(self, requests: list[InferRequest]) -> list[InferResponse | InferError]:
        if self._most_rows and len(requests) > 1:
            groups = groups_of(requests, self._most_rows)
        else:
            groups = [alone(place, request) for place, request in enumerate(requests)]
        answers: dict[int, InferResponse | InferError] = {}
        for group, outcome in zip(groups, awaited(map(self._outcome_of, groups)), strict=True):
            answers |= zip(group.places, self._answers(group, outcome), strict=True)
        return [answers[place] for place in range(len(requests))]

    def _outcome_of(self, group: Group) -> Outcome:
        return outcome_of(self._predict, group.joined(), dict(group.requests[0].parameters))

    def _answers(self, group: Group, outcome: Outcome) -> list[InferResponse | InferError]:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            if len(group.requests) == 1:
                return [self._only_response(outcome, group.requests[0])]
            if not isinstance(outcome, Mapping):
                outcome = {self._only_output(): outcome}
            parts = group.split(outcome)
        except Exception as error:
            if len(group.requests) == 1 or isinstance(error, InferError):
                return [self._failures.of(error)] * len(group.requests)
            # Whose request it was shows when each is asked for itself.
            return [answer for request in group.requests for answer in self.infer([request])]
        return [
            self._response(part, request)
            for part, request in zip(parts, group.requests, strict=True)
        ]

    def _only_response(self, outcome: Outcome, request: InferRequest) -> InferResponse:
        response = response_of(outcome, request, self._declaration)
        if self._most_rows:
            count = rows_of(request)
            for tensor in response.outputs:
                check_rows(tensor.name, tensor.shape, count)
        return response

    def _response(self, result: Any, request: InferRequest) -> InferResponse | InferError:
        try:
            return response_of(result, request, self._declaration)
        except Exception as error:
            return self._failures.of(error)

    def _only_output(self) -> str:
        declared = self._declaration.outputs if self._declaration is not None else ()
        return declared[0].name if len(declared) == 1 else OUTPUT


def open_class(found: Any, load: Load, declaration: ModelDeclaration | None) -> ClassServer:
    """Make the class's instance, and have it load. Raises whatever its code raises."""
    arguments = {
        parameter["name"]: typed_value(parameter["value"], parameter["type"])
        for parameter in load.parameters
    }
    instance = found(**arguments)
    loaded = instance.load() if callable(getattr(instance, "load", None)) else None
    if is_awaitable(loaded):
        wait_for(loaded)
    return ClassServer(instance, declaration, load)


def _predict_of(instance: Any) -> Callable[[Any, Any], Any]:
    """Return `predict` as it can be called: with the parameters, or without."""
    predict = instance.predict
    try:
        signature = inspect.signature(predict)
    except (ValueError, TypeError):
        # Written in C: only calling it tells.
        return predict  # type: ignore[no-any-return]  # it is the model's own
    for arguments in ((None, None), (None,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        if len(arguments) == 2:
            return predict  # type: ignore[no-any-return]  # it is the model's own
        return lambda inputs, parameters: predict(inputs)
    raise TypeError(
        f"{type(instance).__name__}.predict takes {signature}, and should take (inputs, parameters)"
    )


def _most_rows(instance: Any, declaration: ModelDeclaration | None) -> int:
    if declaration is not None and declaration.max_batch_size:
        return declaration.max_batch_size
    said = getattr(instance, "max_batch_size", 0) or 0
    if not isinstance(said, int) or said < 0:
        raise ValueError(
            f"{type(instance).__name__}.max_batch_size is {brief(said)}; a whole number from 0 on is right"
        )
    return int(said)
