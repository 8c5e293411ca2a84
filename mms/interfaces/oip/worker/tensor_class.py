"""The class of a model of tensors: what a handler names, and of which server's contract it is."""

from __future__ import annotations

import enum
import inspect
from types import ModuleType
from typing import Any

from mms.worker.loading.handler_module import class_in, classes_of, import_handler_module

#: As in `class_rule`, which reads them in the source.
_TRITON_CLASS = "TritonPythonModel"
_MLSERVER_BASE = "MLModel"
_PARAMETERS = ("inputs", "parameters")
_HANDLE = "handle"


class Contract(enum.Enum):
    """PLAIN: a handler, which is given requests of any protocol. PREDICT: this server's own class."""

    PLAIN = "handler"
    PREDICT = "predict"
    TRITON = "TritonPythonModel"
    MLSERVER = "MLModel"


def contract_of(found: Any) -> Contract | None:
    """Return the contract that a class is written to; None where it is no model of tensors."""
    if not isinstance(found, type) or hasattr(found, _HANDLE):
        return None
    if found.__name__ == _TRITON_CLASS and callable(getattr(found, "execute", None)):
        return Contract.TRITON
    if any(base.__name__ == _MLSERVER_BASE for base in found.__mro__[1:]):
        return Contract.MLSERVER
    predict = getattr(found, "predict", None)
    if not callable(predict):
        return None
    try:
        names = tuple(inspect.signature(predict).parameters)
    except (ValueError, TypeError):
        return None
    return Contract.PREDICT if names[1:3] == _PARAMETERS else None


def names_model(handler: str) -> bool:
    """Return whether a handler names a model of tensors and nothing that MMS's interface would take.

    Imports the handler's module, as every interface does. Raises whatever it raises.
    """
    module_part, _, name = handler.partition(":")
    if not module_part:
        return False
    try:
        module = import_handler_module(module_part)
    except ModuleNotFoundError:
        # To be said by the interface, which may read the name in another way.
        return False
    if name:
        return contract_of(getattr(module, name.strip(), None)) is not None
    return not callable(getattr(module, _HANDLE, None)) and len(_models(module)) == 1


def find_model(handler: str) -> tuple[Contract, Any]:
    """Return the contract of what a handler names, and its class; None for a plain handler.

    A class that `module:Class` names need not have the names of parameters that others are found by. Raises
    ImportError, ValueError, and whatever the module raises.
    """
    module_part, _, name = handler.partition(":")
    name = name.strip()
    module = import_handler_module(module_part)
    if name:
        found = class_in(module, name, handler)
        contract = contract_of(found)
        if contract is None and isinstance(found, type) and not hasattr(found, _HANDLE):
            if not callable(getattr(found, "predict", None)):
                raise ValueError(
                    f"handler {handler}: class {name} has none of the methods predict(inputs, parameters), "
                    "execute(requests) of a TritonPythonModel, and handle(data, context)"
                )
            contract = Contract.PREDICT
        return (contract, found) if contract is not None else (Contract.PLAIN, None)
    if callable(getattr(module, _HANDLE, None)):
        return Contract.PLAIN, None
    models = _models(module)
    if len(models) == 1:
        contract = contract_of(models[0])
        assert contract is not None
        return contract, models[0]
    if models:
        names = ", ".join(model.__name__ for model in models)
        raise ValueError(
            f"handler {handler} does not say which class it is: name one of {names}, as in module:Class"
        )
    return Contract.PLAIN, None


def _models(module: ModuleType) -> list[type[Any]]:
    return [found for found in classes_of(module) if contract_of(found) is not None]
