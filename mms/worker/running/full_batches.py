"""Finds in a model's source whether it relies on full batches: on as many requests in a call as its batch size."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator

_NAMES = ("batch_size", "batchsize")
#: No handler's source is larger; what is larger is data.
_MAX_BYTES = 1 << 20


def find_full_batches(model_dir: str) -> str:
    """Return where a module of the model that is imported says so, as `service.py, line 47`; empty: nowhere."""
    root = os.path.join(os.path.realpath(model_dir), "")
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py"):
            continue
        path = os.path.realpath(path)
        if path.startswith(root):
            line = find_in_source(_read(path))
            if line:
                return f"{os.path.relpath(path, root)}, line {line}"
    return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_MAX_BYTES)
    except (OSError, ValueError):
        return ""


def find_in_source(source: str) -> int:
    """Return the line of a comparison of a length with the batch size; 0: none.

    One by `==` or `!=`, or any that an `assert` makes or that leads to a `raise`. Others fill a batch up, or cut it.
    """
    if not any(name in source.lower() for name in _NAMES):
        return 0
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    for node in ast.walk(tree):
        for comparison in _comparisons(_strict_part(node)):
            return comparison.lineno
    return 0


def _strict_part(node: ast.AST) -> ast.AST | None:
    """Return what has to hold there for the code to go on, or decides between two ways."""
    if isinstance(node, ast.Assert):
        return node.test
    if isinstance(node, ast.If) and any(isinstance(step, ast.Raise) for step in node.body):
        return node.test
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        return node
    return None


def _comparisons(tree: ast.AST | None) -> Iterator[ast.Compare]:
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(map(_is_batch_size, sides)) and any(map(_is_length, sides)):
                yield node


def _is_length(side: ast.expr) -> bool:
    return isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id == "len"


def _is_batch_size(side: ast.expr) -> bool:
    """Return whether it names the batch size: as a variable, an attribute, a key, or an argument of `get`."""
    for node in ast.walk(side):
        name = ""
        if isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
        if name.lower().strip("_") in _NAMES:
            return True
    return False
