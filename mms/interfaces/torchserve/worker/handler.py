"""What a handler's name stands for: a file of the archive, or one of the handlers that come with TorchServe."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from mms.interfaces.mms.worker import Handler, find_handler
from mms.interfaces.torchserve.handler_names import is_default_handler
from mms.worker.loading.handler_module import import_handler_module, module_name_of

_DEFAULT_HANDLERS = "ts.torch_handler"
_ENVELOPES = "ts.torch_handler.request_envelope"


def names_model(handler: str) -> bool:
    """Return whether a handler is TorchServe's: its module has imported `ts`, or it is one of TorchServe's own.

    Imports the handler's module, as every interface does. Raises whatever it raises.
    """
    module_part = handler.partition(":")[0]
    if not module_part:
        return False
    try:
        import_handler_module(module_part)
    except ModuleNotFoundError:
        # To be said by the interface, which may read the name in another way.
        return is_default_handler(handler)
    return "ts" in sys.modules


def resolve(handler: str) -> Handler:
    """Resolve a name as TorchServe does: `name`, `name.py`, `path/name.py`, each with `:function`.

    A name without a file is one of `ts.torch_handler`. Raises ImportError, ValueError, and whatever the module and its
    class raise.
    """
    try:
        return find_handler(handler)
    except ModuleNotFoundError as error:
        name = module_name_of(handler.partition(":")[0])
        # What the handler's own module misses is told as it is.
        if error.name != name or not is_default_handler(name):
            raise
    return find_handler(f"{_DEFAULT_HANDLERS}.{name}")


def wrap_envelope(name: str, entry_point: Callable[..., Any]) -> Callable[..., Any]:
    """Return an entry point whose requests and answers go through an envelope. Raises ValueError for an unknown one."""
    try:
        module = importlib.import_module(f"{_ENVELOPES}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{_ENVELOPES}.{name}":
            raise
        raise ValueError(
            f"service_envelope is {name}, which is none of body, json, kserve and kservev2"
        ) from None
    (envelope,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and hasattr(value, "handle")
    )
    wrapped: Callable[..., Any] = envelope(entry_point).handle
    return wrapped
