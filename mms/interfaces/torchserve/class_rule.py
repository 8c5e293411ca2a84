"""How a manifest and the source of a handler show that it was written for TorchServe."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final

from mms.interfaces.torchserve.handler_names import is_default_handler

_PACKAGE: Final = "ts"
#: What `torch-model-archiver` writes, and MMS's archiver does not.
_OWN_FIELDS: Final = ("serializedFile", "modelFile")


def is_handler(manifest: Mapping[str, Any], handler: str, tree: ast.Module | None) -> bool:
    """Return whether a handler is TorchServe's.

    `torch-model-archiver` made its archive, its module imports `ts`, or it has the name of one of TorchServe's own and
    the archive has no such file. `tree`: the source of its module; None where there is none that can be read.
    """
    if _is_of_its_archiver(manifest):
        return True
    if tree is None:
        return is_default_handler(handler)
    return any(name.split(".")[0] == _PACKAGE for name in _imported(tree))


def _is_of_its_archiver(manifest: Mapping[str, Any]) -> bool:
    model = manifest.get("model")
    if isinstance(model, Mapping) and any(model.get(field) for field in _OWN_FIELDS):
        return True
    return bool(manifest.get("archiverVersion")) and not manifest.get("specificationVersion")


def _imported(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
    return names
