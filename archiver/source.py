"""What a handler's source says, read as text and never imported."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mms.text.python_source import tree_of

#: The content of a file of the model by its name with "/" between the parts, None where there is none.
ReadSource = Callable[[str], "bytes | None"]


class ClassRule(NamedTuple):
    """How the source of a class shows that it is a model of an interface."""

    #: Given a module and the name of a class in it.
    is_model: Callable[[ast.Module, str], bool]
    #: The bases that its classes have of its own package.
    bases: frozenset[str]
    #: What a class lacks that is none, to go behind its name.
    lack: str
    #: A handler that names a module alone stands for its only class of this kind.
    is_found_in_module: bool = False


class HandlerClass(NamedTuple):
    """The class that a handler names. `module` is a dotted name or a path without `.py`."""

    module: str
    name: str


def handler_class(handler: str) -> HandlerClass:
    """`Model` is the class Model of module Model, `pkg.sub.Class` of module pkg.sub; `module:Class` is both."""
    module, colon, name = handler.partition(":")
    if colon:
        return HandlerClass(module.removesuffix(".py"), name.strip())
    if "/" in module or module.endswith(".py"):
        module = module.removesuffix(".py")
        return HandlerClass(module, module.rpartition("/")[2])
    package, dot, last = module.rpartition(".")
    return HandlerClass(package, last) if dot else HandlerClass(module, module)


def source_names(module: str) -> Iterator[str]:
    """The files that a worker would import for `module`, a handler's part before ":"; the first that exists counts."""
    module = module.removesuffix(".py")
    folder, slash, stem = module.rpartition("/")
    path = stem.replace(".", "/")
    for place in dict.fromkeys((f"{folder}{slash}", "")):
        yield f"{place}{path}/__init__.py"
        yield f"{place}{path}.py"


def module_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the body does, those in if, try, with and loops included."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from module_level(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from module_level(handler.body)


def bound_names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name):
                    yield part.id


def defines(tree: ast.Module, name: str) -> bool:
    """Return whether a module may have an attribute of that name; one that imports with * may have any."""
    bound = {bound for node in module_level(tree.body) for bound in bound_names(node)}
    return name in bound or "*" in bound


def members_of_class(tree: ast.Module, class_name: str) -> tuple[set[str], list[ast.expr]]:
    """Return (what a class binds, its bases), those of its bases in the module included."""
    classes = {
        node.name: node for node in module_level(tree.body) if isinstance(node, ast.ClassDef)
    }
    methods: set[str] = set()
    bases: list[ast.expr] = []
    pending = [class_name]
    while pending:
        node = classes.pop(pending.pop(), None)  # a class that is its own base ends here
        if node is None:
            continue
        methods |= {name for part in module_level(node.body) for name in bound_names(part)}
        bases += node.bases
        pending += {last_name(base) for base in node.bases}
    return methods, bases


def last_name(node: ast.expr) -> str:
    """Return `Base` of `Base` and of `package.Base`; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def first_name(node: ast.expr) -> str:
    """Return `package` of `package.Base`; empty for what is no name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def handler_tree(module: str, read: ReadSource) -> ast.Module | None:
    """Return the parsed source of a handler's module, None where there is none or it cannot be parsed."""
    for name in source_names(module):
        source = read(name)
        if source is not None:
            return tree_of(source, name)
    return None
