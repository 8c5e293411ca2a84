"""The class of a model written to MLRun's contract: what a handler names, and whether it is one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from mms.worker.loading.handler_module import (
    class_in,
    class_names,
    classes_of,
    import_handler_module,
    is_within,
    module_name_of,
)

#: The methods that make a class a model server, whatever its base.
_SHAPE = ("load", "predict", "do_event")
#: What classes of steps have.
_OF_STEPS = ("do_event", "do", "select_outlets")
_PACKAGE = "mlrun"


def is_model_server(found: Any) -> bool:
    return isinstance(found, type) and all(callable(getattr(found, name, None)) for name in _SHAPE)


def is_step(found: Any) -> bool:
    """Return whether a class loads nothing and has what steps of flows have."""
    return (
        isinstance(found, type)
        and not callable(getattr(found, "load", None))
        and any(callable(getattr(found, name, None)) for name in _OF_STEPS)
    )


def is_of_real_package(found: Any) -> bool:
    """Return whether a class derives from one of the installed package, not of this server's."""
    kind = found if isinstance(found, type) else type(found)
    return any(base.__module__.startswith(f"{_PACKAGE}.") for base in kind.__mro__[1:])


def find_class(handler: str, model_dir: str) -> Any:
    """Return what makes the model's server: `module:Class`, `package.module.Class`, or a module's only such class.

    Raises ImportError, ValueError, and whatever the module raises.
    """
    module_part, colon, name = handler.partition(":")
    name = name.strip()
    try:
        module = import_handler_module(module_part)
    except ModuleNotFoundError as error:
        if is_within(_PACKAGE, error.name or ""):
            raise ImportError(
                f"{handler} imports {error.name}, and the package mlrun is not installed; with mlrun_shim=auto or "
                "shim the server's own is used"
            ) from error
        package, dot, last = module_name_of(module_part).rpartition(".")
        if not is_within(error.name, module_name_of(module_part)):
            raise
        if colon or not dot or "/" in module_part:
            raise ImportError(
                f"handler {handler}: there is no module {error.name} in {model_dir}; module:Class names a class of a "
                "model server"
            ) from None
        module, name = import_handler_module(package), last
    if not name:
        return _only_class(handler, module)
    return class_in(module, name, handler)


def names_model(handler: str) -> bool:
    """Return whether a handler names a model server and nothing that MMS's interface would take.

    Imports the handler's module, as every interface does. Raises whatever it raises.
    """
    module_part, colon, name = handler.partition(":")
    if not module_part:
        return False
    try:
        module = import_handler_module(module_part)
    except ModuleNotFoundError as error:
        module_name = module_name_of(module_part)
        if not is_within(error.name, module_name):
            raise
        package, dot, name = module_name.rpartition(".")
        if colon or not dot:
            # To be said by the interface, which may read the name in another way.
            return False
        try:
            module = import_handler_module(package)
        except ModuleNotFoundError as inner:
            if not is_within(inner.name, package):
                raise
            return False
    if name:
        return is_model_server(getattr(module, name.strip(), None))
    if callable(getattr(module, "handle", None)):
        return False
    return sum(is_model_server(found) for found in classes_of(module)) == 1


def _only_class(handler: str, module: ModuleType) -> type[Any]:
    classes = [found for found in classes_of(module) if is_model_server(found)]
    if len(classes) != 1:
        raise ValueError(
            f"handler {handler} does not say which class it is, and module {module.__name__} has {len(classes)} with "
            f"the methods {', '.join(_SHAPE)}; name one as in module:Class, classes there: {class_names(module)}"
        )
    return classes[0]
