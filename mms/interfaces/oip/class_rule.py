"""How the source of a class shows that it is a model of tensors: Triton's, MLServer's, or one of this server's own."""

from __future__ import annotations

import ast
from typing import Final

from archiver.source import ClassRule, last_name, members_of_class, module_level

#: Triton knows its class by its name alone.
TRITON_CLASS: Final = "TritonPythonModel"
_EXECUTE: Final = "execute"
#: The base of MLServer's models.
_MLSERVER_BASE: Final = "MLModel"
PREDICT: Final = "predict"
#: By which `predict` differs from that of other servers' classes.
_PARAMETERS: Final = ("inputs", "parameters")


def is_tensor_model(tree: ast.Module, class_name: str) -> bool:
    """Return whether the class is one: by Triton's name and method, MLServer's base, or `predict(inputs, parameters)`.

    Bases are followed within the module. False where the module does not define the class itself.
    """
    methods, bases = members_of_class(tree, class_name)
    if "handle" in methods:
        return False
    if class_name == TRITON_CLASS:
        return _EXECUTE in methods
    if any(last_name(base) == _MLSERVER_BASE for base in bases):
        return True
    return PREDICT in methods and _predicts_tensors(tree, class_name)


def _predicts_tensors(tree: ast.Module, class_name: str) -> bool:
    classes = {
        node.name: node for node in module_level(tree.body) if isinstance(node, ast.ClassDef)
    }
    pending = [class_name]
    while pending:
        node = classes.pop(pending.pop(0), None)
        if node is None:
            continue
        for part in module_level(node.body):
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name == PREDICT:
                arguments = [*part.args.posonlyargs, *part.args.args]
                return tuple(each.arg for each in arguments[1:3]) == _PARAMETERS
        pending += [last_name(base) for base in node.bases]
    return False


RULE: Final = ClassRule(
    is_tensor_model,
    bases=frozenset((_MLSERVER_BASE,)),
    lack="has neither predict(inputs, parameters) nor the methods of Triton's or MLServer's models",
    is_found_in_module=True,
)
