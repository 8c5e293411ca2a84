"""The modules of a function: which classes they have, read without running anything."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Final

from mms.interfaces.mlrun.authoring.stand_in import FEATURE_ROUTERS, absence_text
from mms.interfaces.mlrun.graph.lookup import BUILT_IN
from mms.interfaces.mlrun.spec.serving_spec import InvalidSpec
from mms.text.python_source import MAX_SOURCE_BYTES, tree_of

_PACKAGE: Final = "mlrun."
_BUILT_IN_PACKAGE: Final = "mlrun.serving."


class FunctionCode:
    """The modules of a function, in a folder. Read once; nothing of them is run."""

    def __init__(self, folder: Path, main: str | None) -> None:
        """`main`: the file of the function's own code. Blocks."""
        self.folder = folder
        files = sorted(folder.glob("*.py"))
        if main is not None:
            files.sort(key=lambda file: file.name != main)
        self._names = {file.stem: _names_in(file) for file in files}
        self._steps = {file.stem: _steps_in(file) for file in files}

    def __repr__(self) -> str:
        return f"<FunctionCode {', '.join(self._names) or 'without modules'}>"

    @property
    def main_module(self) -> str | None:
        return next(iter(self._names), None)

    def handler_of(self, class_name: Any, step: str) -> str:
        """Return `module:Class` of what a step names. Raises InvalidSpec for a class that is nowhere."""
        if not isinstance(class_name, str) or not class_name:
            raise InvalidSpec(f"Step {step} has no class_name.")
        module, dot, name = class_name.rpartition(".")
        if not dot:
            return f"{self._module_of(name, step)}:{name}"
        if class_name.startswith(_BUILT_IN_PACKAGE) and name in FEATURE_ROUTERS:
            raise InvalidSpec(f"Step {step}: {absence_text(name)}.")
        if class_name.startswith(_BUILT_IN_PACKAGE) and name not in BUILT_IN:
            raise InvalidSpec(
                f"Step {step}: there is no class {class_name}; built in are "
                f"{', '.join(sorted(BUILT_IN))}."
            )
        names = self._names.get(module)
        if names is not None and name not in names and "*" not in names:
            raise InvalidSpec(f"Step {step}: module {module} has no class {name}.")
        return f"{module}:{name}"

    def is_step(self, class_name: Any) -> bool:
        """Return whether a class is seen to be no model server: it has `do` or `do_event`, and not what models have."""
        if not isinstance(class_name, str):
            return False
        module, dot, name = class_name.rpartition(".")
        if dot:
            return name in self._steps.get(module, ())
        defining = next((found for found, names in self._names.items() if name in names), None)
        return defining is not None and name in self._steps[defining]

    def initializer(self, name: str) -> str:
        """Return the importable name of a function's initializer. Raises InvalidSpec for one that is nowhere."""
        if "." in name or name.startswith("("):
            return name
        for wanted in (name, "*"):
            for module, names in self._names.items():
                if wanted in names:
                    return f"{module}.{name}"
        raise InvalidSpec(
            f"graph_initializer {name} was not found in the code: {', '.join(self._names) or 'there is none'}."
        )

    def _module_of(self, name: str, step: str) -> str:
        for module, names in self._names.items():
            if name in names:
                return module
        if name in BUILT_IN:
            return f"{_PACKAGE}serving"
        for module, names in self._names.items():
            if "*" in names:
                return module
        if name in FEATURE_ROUTERS:
            raise InvalidSpec(f"Step {step}: {absence_text(name)}.")
        known = ", ".join(f"{module}.py" for module in self._names)
        where = f"neither in {known} nor" if known else "there is no code, and it is not"
        raise InvalidSpec(
            f"Step {step}: class {name} was not found, {where} among the built-in ones; "
            "put the code into the document, or register a folder that has both."
        )


def _parsed(file: Path) -> ast.Module | None:
    """None for what is no Python, as the worker that imports it has the better message, and for too much of it."""
    if file.stat().st_size > MAX_SOURCE_BYTES:
        return None
    return tree_of(file.read_bytes(), str(file))


def _steps_in(file: Path) -> frozenset[str]:
    """Return the classes at a module's top that answer events, or bodies, and have no base but such classes."""
    tree = _parsed(file)
    methods: dict[str, set[str]] = {}
    for node in tree.body if tree is not None else ():
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [base.id if isinstance(base, ast.Name) else "" for base in node.bases]
        if node.keywords or any(base != "object" and base not in methods for base in bases):
            # What it inherits is not seen here.
            continue
        own = {
            item.name
            for item in node.body
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        methods[node.name] = own.union(*(methods.get(base, set()) for base in bases))
    return frozenset(
        name
        for name, found in methods.items()
        if found & {"do", "do_event"} and not found >= {"load", "predict"}
    )


def _names_in(file: Path) -> frozenset[str]:
    """Return what a module binds at its top; `*` where that cannot be told without running it."""
    tree = _parsed(file)
    if tree is None:
        return frozenset("*")
    names: set[str] = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        else:
            waiting += [child for child in ast.walk(node) if isinstance(child, ast.stmt)][1:]
    return frozenset(names)
