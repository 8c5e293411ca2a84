"""The class of a Seldon component: what a handler names, and whether it is one."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from types import ModuleType
from typing import Any, NamedTuple

from mms.worker.loading.handler_module import (
    class_in,
    import_handler_module,
    is_within,
    module_name_of,
)

#: The methods by which a class serves as a component. One of them suffices.
_HOOKS = tuple(
    f"{hook}{form}"
    for hook in (
        *("predict", "transform_input", "transform_output"),
        *("route", "aggregate", "send_feedback"),
    )
    for form in ("", "_raw", "_rest", "_grpc")
)
_FLASK_IMPORT = re.compile(r"^\s*(from|import)\s+flask\b", re.MULTILINE)
_BASE_NAME = "SeldonComponent"
_PACKAGE = "seldon_core"


class NamedClass(NamedTuple):
    """`module`: a dotted name or a path."""

    module: str
    name: str


def named_class(handler: str) -> NamedClass:
    """Read a class's name: `Model` is of module Model, `pkg.sub.Class` of module pkg.sub; `module:Class` says both."""
    module, colon, name = handler.partition(":")
    if colon:
        return NamedClass(module, name.strip())
    if "/" in module or module.endswith(".py"):
        return NamedClass(module, module_name_of(module))
    package, dot, last = module.rpartition(".")
    return NamedClass(package, last) if dot else NamedClass(module, module)


def find_class(handler: str, model_dir: str) -> Any:
    """Return what makes the component: a class, or anything that can be called. Raises ImportError or ValueError."""
    module_part, name = named_class(handler)
    module_name = module_name_of(module_part)
    try:
        module = import_handler_module(module_part)
    except ModuleNotFoundError as error:
        if is_within(error.name, module_name):
            raise ImportError(
                f"handler {handler}: there is no module {error.name} in {model_dir}; Model is the class Model in "
                "Model.py, package.module.Class and module:Class name both"
            ) from None
        if is_within(_PACKAGE, error.name or ""):
            raise ImportError(
                f"{handler} imports {error.name}, and the package seldon-core is not installed; with seldon_shim=auto "
                "or shim the server's own is used"
            ) from error
        raise
    return class_in(module, name, handler)


def names_model(handler: str) -> bool:
    """Return whether a handler names a Seldon component and nothing that MMS's interface would take.

    Imports the handler's module, as either interface does. Raises whatever it raises.
    """
    module_part, name = named_class(handler)
    if not module_part or not name:
        return False
    try:
        module = import_handler_module(module_part)
    except ModuleNotFoundError as error:
        if is_within(error.name, module_name_of(module_part)):
            # To be said by the interface, which may read the name in another way.
            return False
        raise
    if ":" not in handler and callable(getattr(module, "handle", None)):
        return False
    return _is_component(module, name)


def _is_component(module: ModuleType, name: str) -> bool:
    found = getattr(module, name, None)
    if not isinstance(found, type) or hasattr(found, "handle"):
        return False
    has_base = any(base.__name__ == _BASE_NAME for base in found.__mro__)
    return has_base or any(hasattr(found, hook) for hook in _HOOKS)


def uses_flask(instance: Any, model_dir: str) -> bool:
    """Return whether Flask is there, and one of the model's modules imports it, at its top or in a function."""
    if importlib.util.find_spec("flask") is None:
        return False
    folder = os.path.join(os.path.realpath(model_dir), "")
    own = sys.modules.get(type(instance).__module__)
    files = [
        os.path.realpath(file)
        for module in list(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str)
        and (module is own or os.path.realpath(file).startswith(folder))
    ]
    return any(_imports_flask(file) for file in files)


def _imports_flask(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return _FLASK_IMPORT.search(file.read()) is not None
    except OSError:
        return False
