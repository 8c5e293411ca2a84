"""Classes by their names, and parts of an answer before its end."""

from __future__ import annotations

import importlib
from typing import Any

from ..protocol.otf_message_handler import create_predict_response as create_predict_response
from ..protocol.otf_message_handler import (
    send_intermediate_predict_response as send_intermediate_predict_response,
)


def import_class(class_name: str, module_prefix: str | None = None) -> Any:
    """Return the class that `module.Class` names, in the package `module_prefix` if given. Raises ImportError."""
    if not class_name:
        raise ImportError("class name is not defined")
    module_name, _, name = class_name.rpartition(".")
    full_name = ".".join(part for part in (module_prefix, module_name) if part)
    if not full_name:
        raise ImportError("module name is not defined.")
    found = getattr(importlib.import_module(full_name), name, None)
    if found is None:
        raise ImportError(f"class:{name} not found in module:{module_name}.")
    return found
