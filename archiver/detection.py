"""Which interface a model's code is written to, by its manifest and its handler's source."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from archiver.source import (
    ClassRule,
    HandlerClass,
    ReadSource,
    bound_names,
    handler_class,
    handler_tree,
    last_name,
    members_of_class,
    module_level,
)
from mms.interfaces import DEFAULT, INTERFACES, Interface, part

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


class Detected(NamedTuple):
    """`is_certain`: the source alone settles it; else an import may find something else."""

    interface: Interface
    is_certain: bool


def class_rule(interface: Interface) -> ClassRule | None:
    """Return by what the source of a class tells that it is a model of the interface; None where nothing does."""
    if not interface.class_rule:
        return None
    rule: ClassRule = part(interface.class_rule)
    return rule


@cache
def _rules() -> dict[Interface, ClassRule]:
    return {each: rule for each in INTERFACES if (rule := class_rule(each)) is not None}


def detect(
    handler: str,
    read: ReadSource,
    *,
    has_old_manifest: bool = False,
    manifest: Mapping[str, Any] | None = None,
) -> Detected:
    """Return the interface of a model by its manifest, else by the source of what its handler names.

    What cannot be read or parsed is of the default interface. Not certain are names that the module imports or makes,
    classes with bases of other modules, and handlers in a module that imports another interface's package.
    `manifest`: its document, by which some interfaces know their handlers.
    """
    if has_old_manifest:
        return Detected(next(each for each in INTERFACES if each.has_old_manifest), True)
    found, tree = _detect(handler, read)
    if found.interface is not DEFAULT:
        return found
    for interface in INTERFACES:
        if interface.handler_rule and part(interface.handler_rule)(manifest or {}, handler, tree):
            return Detected(interface, True)
    return found


def _detect(handler: str, read: ReadSource) -> tuple[Detected, ast.Module | None]:
    """Return what the source of a handler's module tells, and that source."""
    module, _, name = handler.partition(":")
    tree = None if name.strip() else handler_tree(module, read)
    if tree is not None:
        found = _of_module(tree, handler)
    else:
        named = handler_class(handler)
        tree = handler_tree(named.module, read) if named.module and named.name else None
        if tree is None:
            return Detected(DEFAULT, False), None
        found = _of_name(tree, named.name)
    if found.interface is DEFAULT and _imports_of_others(tree):
        return Detected(DEFAULT, False), tree
    return found, tree


def named_class(interface: Interface, handler: str, read: ReadSource) -> HandlerClass:
    """Return the class that a handler of an interface names.

    The name is empty where a module alone stands for its only model, and it has none or several.
    """
    rule = class_rule(interface)
    if rule is None or not rule.is_found_in_module or ":" in handler:
        return handler_class(handler)
    tree = handler_tree(handler, read)
    if tree is None:
        return handler_class(handler)
    found = _models(tree, rule)
    return HandlerClass(handler, found[0] if len(found) == 1 else "")


def _of_module(tree: ast.Module, handler: str) -> Detected:
    """Detect a module alone by its function `handle`, its only model, or a class of its own name."""
    handles = _bindings(tree, "handle")
    if handles:
        return Detected(DEFAULT, all(isinstance(node, _FUNCTIONS) for node in handles))
    is_certain = not _is_open(tree) and all(_has_known_bases(tree, name) for name in _classes(tree))
    for interface, rule in _rules().items():
        if rule.is_found_in_module and len(_models(tree, rule)) == 1:
            return Detected(interface, is_certain)
    found = _of_name(tree, handler_class(handler).name)
    return Detected(found.interface, is_certain and found.is_certain)


def _of_name(tree: ast.Module, name: str) -> Detected:
    """Detect what a module has by that name: certain where its source shows a function, all of a class, or nothing."""
    bindings = _bindings(tree, name)
    if not bindings:
        return Detected(DEFAULT, not _is_open(tree))
    if all(isinstance(node, _FUNCTIONS) for node in bindings):
        return Detected(DEFAULT, True)
    is_class = len(bindings) == 1 and isinstance(bindings[0], ast.ClassDef)
    is_certain = is_class and _has_known_bases(tree, name)
    for interface, rule in _rules().items():
        if rule.is_model(tree, name):
            return Detected(interface, is_certain)
    return Detected(DEFAULT, is_certain)


def _classes(tree: ast.Module) -> list[str]:
    return [node.name for node in module_level(tree.body) if isinstance(node, ast.ClassDef)]


def _models(tree: ast.Module, rule: ClassRule) -> list[str]:
    return [name for name in _classes(tree) if rule.is_model(tree, name)]


def _bindings(tree: ast.Module, name: str) -> list[ast.stmt]:
    return [node for node in module_level(tree.body) if name in bound_names(node)]


def _is_open(tree: ast.Module) -> bool:
    """Return whether a module may have names that its source does not show."""
    return bool(_bindings(tree, "*") or _bindings(tree, "__getattr__"))


def _has_known_bases(tree: ast.Module, class_name: str) -> bool:
    """Return whether a class gets its methods from classes of its module alone, and from bases that are known."""
    known = {*_classes(tree), "object"}.union(*(rule.bases for rule in _rules().values()))
    return all(last_name(base) in known for base in members_of_class(tree, class_name)[1])


def _imports_of_others(tree: ast.Module) -> bool:
    """Return whether a module imports a package that tells another interface."""
    telling = {package.name for each in INTERFACES for package in each.telling_packages}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            packages = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            packages = [node.module or ""]
        else:
            continue
        if any(package.split(".")[0] in telling for package in packages):
            return True
    return False
