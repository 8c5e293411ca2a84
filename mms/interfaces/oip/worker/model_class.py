"""This server's own class of models of tensors: `load()`, and `predict(inputs, parameters)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from mms.interfaces.oip.worker.row_joiner import RowJoiner
from mms.interfaces.oip.worker.rows import Group, parameters_for_model
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import NO_PARAMETERS, Parameter
from mms.text.brief import brief
from mms.text.typed_value import typed_value
from mms.wire import Load
from mms.worker.running.awaiting import is_awaitable, wait_for
from mms.worker.tensors.failures import Failures

_PREDICT: Final = "predict"
_EXPLAIN: Final = "explain"


class ClassServer(RowJoiner):
    """Serves one instance. Where it says `max_batch_size`, its class or its declaration, rows are joined."""

    def __init__(self, instance: Any, declaration: ModelDeclaration | None, load: Load) -> None:
        """Raises TypeError and ValueError for a class that cannot be called so."""
        super().__init__(declaration, _most_rows(instance, declaration))
        self._predict = _call_of(instance, _PREDICT)
        self._explain = (
            _call_of(instance, _EXPLAIN) if callable(getattr(instance, _EXPLAIN, None)) else None
        )
        self._failures = Failures(load)
        self._name = type(instance).__name__
        self._unload = getattr(instance, "unload", None)

    def __repr__(self) -> str:
        return f"<ClassServer of {self._name}>"

    @property
    def explains(self) -> bool:
        return self._explain is not None

    def close(self) -> None:
        if callable(self._unload):
            result = self._unload()
            if is_awaitable(result):
                wait_for(result)

    def call(self, group: Group) -> Any:
        request = group.requests[0]
        call = self._explain if request.explains and self._explain else self._predict
        return call(group.joined(), parameters_for_model(request))

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


def _call_of(instance: Any, name: str) -> Callable[[Any, Any], Any]:
    """Return a method as it can be called: with the parameters, or without."""
    method = getattr(instance, name)
    try:
        signature = inspect.signature(method)
    except (ValueError, TypeError):
        # Written in C: only calling it tells.
        return method  # type: ignore[no-any-return]  # it is the model's own
    for arguments in ((None, None), (None,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        if len(arguments) == 2:
            return method  # type: ignore[no-any-return]  # it is the model's own
        return lambda inputs, parameters: method(inputs)
    raise TypeError(
        f"{type(instance).__name__}.{name} takes {signature}, and should take (inputs, parameters)"
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
