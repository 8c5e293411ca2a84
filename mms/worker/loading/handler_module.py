"""The module that a handler names."""

from __future__ import annotations

import glob
import importlib
import importlib.machinery
import os
import sys
from types import ModuleType
from typing import Any

from mms.text.brief import brief
from mms.worker.loading.shadowing import own_name
from mms.worker.loading.stages import note_imported

#: The names of the handlers' modules that this process has imported.
_imported: set[str] = set()
#: Of more files in a message only so many are named.
_MAX_FILES = 5


def module_name_of(module_part: str) -> str:
    """Return `service` for `service`, `service.py` and `path/service.py`, and `package.module` for itself."""
    return module_part.removesuffix(".py").rpartition("/")[2]


def is_within(part: str | None, module_name: str) -> bool:
    """Return whether `part` is the module, or a package that it is in."""
    return part is not None and (module_name == part or module_name.startswith(f"{part}."))


def import_handler_module(module_part: str) -> ModuleType:
    """Return the module, imported by the first call. Raises ImportError, and whatever the module raises."""
    module_name = module_name_of(module_part)
    # What it has imported itself, whatever that has done to the path since.
    if module_name not in _imported:
        if own_name(module_name) == module_name:
            _refuse_taken_name(module_name)
        _imported.add(module_name)
    try:
        module = importlib.import_module(own_name(module_name))
    except ModuleNotFoundError as error:
        if not is_within(error.name, own_name(module_name)):
            raise
        text = f"No module named {brief(module_name)}; {_python_files()}"
        raise ModuleNotFoundError(text, name=error.name) from None
    note_imported()
    return module


def _python_files() -> str:
    """Return what could have been meant: the working folder is the model's."""
    found = sorted(glob.glob("*.py") + glob.glob("*/*.py"))
    if not found:
        return "the model's folder has no Python files"
    more = f" and {len(found) - _MAX_FILES} more" if len(found) > _MAX_FILES else ""
    return f"the model's folder has {', '.join(found[:_MAX_FILES])}{more}"


def classes_of(module: ModuleType) -> list[type[Any]]:
    """Return the classes that are defined in this very module, by name."""
    own = {
        value.__name__: value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    return [own[name] for name in sorted(own)]


def class_in(module: ModuleType, name: str, handler: str) -> Any:
    """Return what a handler names in its module: a class, or anything that can be called. Raises ValueError."""
    found = getattr(module, name, None)
    if found is None:
        raise ValueError(
            f"handler {handler}: module {module.__name__} has no class {name}; classes there: {class_names(module)}"
        )
    if not callable(found):
        raise ValueError(f"handler {handler}: {name} is not a class, but {type(found).__name__}")
    return found


def class_names(module: ModuleType) -> str:
    return ", ".join(found.__name__ for found in classes_of(module)) or "none"


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
