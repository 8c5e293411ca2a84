"""How the source of a class shows that it is a model server of MLRun's contract."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from archiver.source import ClassRule, first_name, last_name, members_of_class, module_level

#: The methods that make a class a model server, whatever its base.
_SHAPE: Final = frozenset(("load", "predict", "do_event"))
#: MLRun's own bases. Others of its package end the same way.
_BASES: Final = frozenset(("V2ModelServer", "MLModelServer"))
_BASE_END: Final = "ModelServer"
_PACKAGE: Final = "mlrun"


def is_model_server(tree: ast.Module, class_name: str) -> bool:
    """Return whether the class is a model server: by its base, or by its methods.

    Bases are followed within the module. False where the module does not define the class itself.
    """
    methods, bases = members_of_class(tree, class_name)
    if methods >= _SHAPE:
        return True
    imported = set(_imported_names(tree))
    for base in bases:
        name = last_name(base)
        if name in _BASES:
            return True
        if name.endswith(_BASE_END) and first_name(base) in imported:
            return True
    return False


def _imported_names(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports from MLRun's package, by the names that it has there."""
    for node in module_level(tree.body):
        if isinstance(node, ast.Import):
            packages = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            packages = [node.module or ""] * len(node.names)
        else:
            continue
        for alias, package in zip(node.names, packages, strict=True):
            if package.split(".")[0] == _PACKAGE:
                yield alias.asname or alias.name.split(".")[0]


RULE: Final = ClassRule(
    is_model_server,
    bases=_BASES,
    lack="has neither the base V2ModelServer nor the methods load, predict and do_event",
    is_found_in_module=True,
)
