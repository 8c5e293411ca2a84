"""This server's own class of models of tensors: `load()`, and `predict(inputs, parameters)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mms.interfaces.oip.worker.row_joiner import RowJoiner
from mms.interfaces.oip.worker.rows import Group
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import NO_PARAMETERS, Parameter
from mms.text.brief import brief
from mms.text.typed_value import typed_value
from mms.wire import Load
from mms.worker.running.awaiting import is_awaitable, wait_for
from mms.worker.tensors.failures import Failures


class ClassServer(RowJoiner):
    """Serves one instance. Where it says `max_batch_size`, its class or its declaration, rows are joined."""

    def __init__(self, instance: Any, declaration: ModelDeclaration | None, load: Load) -> None:
        """Raises TypeError and ValueError for a class that cannot be called so."""
        super().__init__(declaration, _most_rows(instance, declaration))
        self._predict = _predict_of(instance)
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

    def call(self, group: Group) -> Any:
        return self._predict(group.joined(), dict(group.requests[0].parameters))

    def read(self, given: Any) -> tuple[Any, Mapping[str, Parameter]]:
        return given, NO_PARAMETERS

    def failure(self, error: Exception) -> InferError:
        return self._failures.of(error)


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
