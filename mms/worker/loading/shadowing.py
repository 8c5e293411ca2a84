"""Files of a model that have the names of modules of Python's own library, such as copy.py or typing.py.

Python imports by the first name on the path, and once for a process: such a file would take the place of the library's
module for everybody, or the other way round. Here the model's own code gets its files, and all others the library's.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.machinery
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

#: The package that the model's files of such names are modules of.
_PACKAGE = "mms_model"
#: Not to be imported to find out: they open a browser, or print.
_NOISY = frozenset({"antigravity", "this"})

_names: set[str] = set()
_folders: tuple[str, ...] = ()


def separate(folders: Sequence[str]) -> None:
    """Import the library's modules that files in these folders would shadow; to be called before the path has them."""
    global _folders
    _names.update(_shadowing_names(folders))
    if not _names:
        return
    for name in sorted(_names - _NOISY):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    _folders = tuple(os.path.join(os.path.realpath(folder), "") for folder in folders)
    package = ModuleType(_PACKAGE)
    package.__path__ = list(folders)
    sys.modules[_PACKAGE] = package
    plain_import = builtins.__import__

    def import_own_first(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = name.partition(".")[0]
        if level or top not in _names or not _is_of_model(globals):
            return plain_import(name, globals, locals, fromlist or (), level)
        module = plain_import(own_name(name), globals, locals, fromlist or (), 0)
        # As the statement binds it: the last part with names to take from it, else the first.
        return module if fromlist else sys.modules[own_name(top)]

    builtins.__import__ = import_own_first


def own_name(name: str) -> str:
    """Return what `importlib` knows a module of the model by."""
    return f"{_PACKAGE}.{name}" if name.partition(".")[0] in _names else name


def _shadowing_names(folders: Sequence[str]) -> set[str]:
    names: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            names.update(entry.partition(".")[0] for entry in os.listdir(folder))
    found: set[str] = set()
    for name in names & sys.stdlib_module_names:
        spec = importlib.machinery.PathFinder.find_spec(name, list(folders))
        # A folder without an __init__.py comes last for Python, too.
        if spec is not None and spec.origin is not None:
            found.add(name)
    return found


def _is_of_model(module_globals: Mapping[str, object] | None) -> bool:
    file = module_globals.get("__file__") if module_globals else None
    if not isinstance(file, str):
        return False
    path = os.path.realpath(file)
    # A project's folder may have its own virtual environment in it.
    return path.startswith(_folders) and "site-packages" not in path
