"""What a handler's source says, read as text and never imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

#: The methods by which a class serves as a Seldon component. One of them suffices.
SELDON_HOOKS: Final = frozenset(
    f"{hook}{form}"
    for hook in (
        *("predict", "transform_input", "transform_output"),
        *("route", "aggregate", "send_feedback"),
    )
    for form in ("", "_raw", "_rest", "_grpc")
)
#: The methods that make a class a model server of MLRun's contract, whatever its base.
_SERVER_SHAPE: Final = frozenset(("load", "predict", "do_event"))
#: MLRun's own bases. Others of its package end the same way.
_SERVER_BASES: Final = frozenset(("V2ModelServer", "MLModelServer"))
_SERVER_BASE_END: Final = "ModelServer"
_MLRUN: Final = "mlrun"
_SELDON: Final = "seldon_core"
_SELDON_BASE: Final = "SeldonComponent"
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)

#: The content of a file of the model by its name with "/" between the parts, None where there is none.
ReadSource = Callable[[str], "bytes | None"]


class HandlerClass(NamedTuple):
    """The class that a handler names by Seldon's rule. `module` is a dotted name or a path without `.py`."""

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


def parsed(source: bytes | str, file_name: str) -> ast.Module:
    """Raises SyntaxError, and ValueError, RecursionError or MemoryError for what no parser takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are the author's matter
        return ast.parse(source, filename=file_name)


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
    """Whether a module may have an attribute of that name; one that imports with * may have any."""
    bound = {bound for node in module_level(tree.body) for bound in bound_names(node)}
    return name in bound or "*" in bound


def is_seldon_component(tree: ast.Module, class_name: str) -> bool:
    """Whether the class is a Seldon component: it has a hook, or the base SeldonComponent, and no method `handle`.

    Bases are followed within the module. False where the module does not define the class itself.
    """
    methods, bases = _members(tree, class_name)
    if "handle" in methods:
        return False
    return bool(methods & SELDON_HOOKS) or any(_last_name(b) == _SELDON_BASE for b in bases)


def is_model_server(tree: ast.Module, class_name: str) -> bool:
    """Whether the class is a model server of MLRun's contract: by its base, or by its methods.

    Bases are followed within the module. False where the module does not define the class itself.
    """
    methods, bases = _members(tree, class_name)
    if methods >= _SERVER_SHAPE:
        return True
    imported = _names_of_mlrun(tree)
    for base in bases:
        name = _last_name(base)
        if name in _SERVER_BASES:
            return True
        if name.endswith(_SERVER_BASE_END) and _first_name(base) in imported:
            return True
    return False


def _members(tree: ast.Module, class_name: str) -> tuple[set[str], list[ast.expr]]:
    """(what a class binds, its bases), those of its bases in the module included."""
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
        pending += {_last_name(base) for base in node.bases}
    return methods, bases


def _imports_of_interfaces(tree: ast.Module) -> bool:
    """Whether a module imports a package that the server has a stand-in for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            packages = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            packages = [node.module or ""]
        else:
            continue
        if any(package.split(".")[0] in (_MLRUN, _SELDON) for package in packages):
            return True
    return False


def _names_of_mlrun(tree: ast.Module) -> set[str]:
    """What a module imports from MLRun's package, by the names that it has there."""
    names: set[str] = set()
    for node in module_level(tree.body):
        if isinstance(node, ast.Import):
            packages = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            packages = [node.module or ""] * len(node.names)
        else:
            continue
        for alias, package in zip(node.names, packages, strict=True):
            if package.split(".")[0] == _MLRUN:
                names.add(alias.asname or alias.name.split(".")[0])
    return names


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _first_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def detected_interface(handler: str, read: ReadSource) -> str:
    """`mlrun`, `seldon` or `mms`, by the source of the class that the handler names.

    What cannot be read or parsed is `mms`.
    """
    return _judged(handler, read).interface


def certain_interface(handler: str, read: ReadSource) -> str | None:
    """The same where the source alone settles it; None where an import may find something else.

    That is so for names that the module imports or makes, for classes with bases of other modules, and for a handler of
    MMS that uses a package of another interface.
    """
    judgement = _judged(handler, read)
    return judgement.interface if judgement.is_certain else None


class _Judgement(NamedTuple):
    interface: str
    is_certain: bool


def _judged(handler: str, read: ReadSource) -> _Judgement:
    module, _, name = handler.partition(":")
    tree = None if name.strip() else handler_tree(module, read)
    if tree is not None:
        judgement = _judged_module(tree, handler)
    else:
        named = handler_class(handler)
        tree = handler_tree(named.module, read) if named.module and named.name else None
        if tree is None:
            return _Judgement("mms", False)
        judgement = _judged_name(tree, named.name)
    if judgement.interface == "mms" and _imports_of_interfaces(tree):
        return _Judgement("mms", False)
    return judgement


def _judged_module(tree: ast.Module, handler: str) -> _Judgement:
    """Of a handler that names a module alone: its function `handle`, its only model server, a class of its own name."""
    handles = _bindings(tree, "handle")
    if handles:
        return _Judgement("mms", all(isinstance(node, _FUNCTIONS) for node in handles))
    classes = [node.name for node in module_level(tree.body) if isinstance(node, ast.ClassDef)]
    is_certain = not _is_open(tree) and all(_has_known_bases(tree, name) for name in classes)
    if sum(is_model_server(tree, name) for name in classes) == 1:
        return _Judgement("mlrun", is_certain)
    judgement = _judged_name(tree, handler_class(handler).name)
    return _Judgement(judgement.interface, is_certain and judgement.is_certain)


def _judged_name(tree: ast.Module, name: str) -> _Judgement:
    """Of what a module has by that name: certain where the source shows all of it, functions, a class, or nothing."""
    bindings = _bindings(tree, name)
    if not bindings:
        return _Judgement("mms", not _is_open(tree))
    if all(isinstance(node, _FUNCTIONS) for node in bindings):
        return _Judgement("mms", True)
    is_class = len(bindings) == 1 and isinstance(bindings[0], ast.ClassDef)
    is_certain = is_class and _has_known_bases(tree, name)
    if is_model_server(tree, name):
        return _Judgement("mlrun", is_certain)
    return _Judgement("seldon" if is_seldon_component(tree, name) else "mms", is_certain)


def _bindings(tree: ast.Module, name: str) -> list[ast.stmt]:
    return [node for node in module_level(tree.body) if name in bound_names(node)]


def _is_open(tree: ast.Module) -> bool:
    """Whether a module may have names that its source does not show."""
    return bool(_bindings(tree, "*") or _bindings(tree, "__getattr__"))


def _has_known_bases(tree: ast.Module, class_name: str) -> bool:
    """Whether a class gets its methods from classes of its module alone, and from bases that are known."""
    own = {node.name for node in module_level(tree.body) if isinstance(node, ast.ClassDef)}
    known = own | {"object", _SELDON_BASE} | _SERVER_BASES
    return all(_last_name(base) in known for base in _members(tree, class_name)[1])


def server_class(handler: str, read: ReadSource) -> HandlerClass:
    """The class that a handler names by the rule for model servers: as for components, but a module alone is its only
    model server. The name is empty where it has none or several."""
    if ":" in handler:
        return handler_class(handler)
    tree = handler_tree(handler, read)
    if tree is None:
        return handler_class(handler)
    servers = [
        node.name
        for node in module_level(tree.body)
        if isinstance(node, ast.ClassDef) and is_model_server(tree, node.name)
    ]
    return HandlerClass(handler, servers[0] if len(servers) == 1 else "")


def handler_tree(module: str, read: ReadSource) -> ast.Module | None:
    """The parsed source of a handler's module, None where there is none or it cannot be parsed."""
    for name in source_names(module):
        source = read(name)
        if source is None:
            continue
        try:
            return parsed(source, name)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    return None
