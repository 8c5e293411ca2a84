"""The module that a handler names."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any


def module_name_of(module_part: str) -> str:
    """`service`, `service.py` and `path/service.py` are the module service; `package.module` is itself."""
    return module_part.removesuffix(".py").rpartition("/")[2]


def import_handler_module(module_part: str, model_dir: str) -> ModuleType:
    """Raises ImportError, and whatever the module raises."""
    module_name = module_name_of(module_part)
    _refuse_taken_name(module_name, model_dir)
    return importlib.import_module(module_name)


def classes_of(module: ModuleType) -> list[type[Any]]:
    """The classes that are defined in this very module, by name."""
    own = {
        value.__name__: value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    return [own[name] for name in sorted(own)]


def _refuse_taken_name(module_name: str, model_dir: str) -> None:
    """Say so where Python would hand out another module than the archive's."""
    loaded = sys.modules.get(module_name)
    path = os.path.join(model_dir, f"{module_name}.py")
    if loaded is None or not os.path.isfile(path):
        return
    its_path = getattr(loaded, "__file__", None) or "built in"
    if os.path.realpath(its_path) != os.path.realpath(path):
        raise ImportError(
            f"handler module {module_name} has the name of a module that Python itself has loaded "
            f"({its_path}); give the file another name"
        )
