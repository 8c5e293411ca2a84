"""The module that a handler names."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from types import ModuleType
from typing import Any

from mms.worker.shadowing import own_name

#: The names of the handlers' modules that this process has imported.
_imported: set[str] = set()


def module_name_of(module_part: str) -> str:
    """`service`, `service.py` and `path/service.py` are the module service; `package.module` is itself."""
    return module_part.removesuffix(".py").rpartition("/")[2]


def import_handler_module(module_part: str) -> ModuleType:
    """The module, imported by the first call. Raises ImportError, and whatever the module raises."""
    module_name = module_name_of(module_part)
    # What it has imported itself, whatever that has done to the path since.
    if module_name not in _imported:
        if own_name(module_name) == module_name:
            _refuse_taken_name(module_name)
        _imported.add(module_name)
    return importlib.import_module(own_name(module_name))


def classes_of(module: ModuleType) -> list[type[Any]]:
    """The classes that are defined in this very module, by name."""
    own = {
        value.__name__: value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    return [own[name] for name in sorted(own)]


def _refuse_taken_name(module_name: str) -> None:
    """Say so where Python would hand out a module of the worker's own in place of the first one on the path."""
    top = module_name.partition(".")[0]
    loaded = sys.modules.get(top)
    if loaded is None:
        return
    found = importlib.machinery.PathFinder.find_spec(top)
    if found is None or found.origin is None:
        return
    its_path = getattr(loaded, "__file__", None) or "built in"
    if os.path.realpath(its_path) != os.path.realpath(found.origin):
        raise ImportError(
            f"handler module {top} has the name of a module that Python itself has loaded ({its_path}); give the file "
            f"{found.origin} another name"
        )
