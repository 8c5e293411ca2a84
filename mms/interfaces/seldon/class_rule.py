"""How the source of a class shows that it is a component of Seldon's."""

from __future__ import annotations

import ast
from typing import Final

from archiver.source import ClassRule, last_name, members_of_class

_BASE: Final = "SeldonComponent"
#: The methods by which a class serves as a component. One of them suffices.
HOOKS: Final = frozenset(
    f"{hook}{form}"
    for hook in (
        *("predict", "transform_input", "transform_output"),
        *("route", "aggregate", "send_feedback"),
    )
    for form in ("", "_raw", "_rest", "_grpc")
)


def is_component(tree: ast.Module, class_name: str) -> bool:
    """Return whether the class is a component: it has a hook, or the base SeldonComponent, and no method `handle`.

    Bases are followed within the module. False where the module does not define the class itself.
    """
    methods, bases = members_of_class(tree, class_name)
    if "handle" in methods:
        return False
    return bool(methods & HOOKS) or any(last_name(base) == _BASE for base in bases)


RULE: Final = ClassRule(
    is_component,
    bases=frozenset((_BASE,)),
    lack="has none of Seldon's methods, such as predict",
)
