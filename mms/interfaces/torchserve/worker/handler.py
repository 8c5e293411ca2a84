"""Whether the module of a handler was written for TorchServe, once a worker has imported it."""

from __future__ import annotations

import sys

from mms.interfaces.torchserve.handler_names import is_default_handler
from mms.worker.loading.handler_module import import_handler_module


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
