"""Classes and functions by the names that a graph gives them, and expressions.

All of it comes from the one who configures the server: names are imported and expressions evaluated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from mms.interfaces.absent_name import AbsentName
from mms.interfaces.mlrun.authoring.stand_in import FEATURE_ROUTERS, PLACE_OF, absent
from mms.interfaces.mlrun.errors import GraphError
from mms.text.brief import brief

#: What a router's class is called where it is not named.
DEFAULT_ROUTER = "mlrun.serving.ModelRouter"
REMOTE = "$remote"

_REMOTE = "mms.interfaces.mlrun.graph.steps.remote"
#: Names under `mlrun.serving` (and its modules) that graphs may have.
BUILT_IN = (
    *("BaseModelRouter", "ModelRouter", "ParallelRun", "VotingEnsemble", "CanaryRouter"),
    *("BanditRouter", "V2ModelServer", "MLModelServer", "RemoteStep", "BatchHttpRequests"),
    *("Merge", "ModelRunner"),
)
#: Routers that MLRun has not, and that keep the name they are given as a whole graph.
NAMED_ROUTERS = ("CanaryRouter", "BanditRouter")
_PACKAGE_OF_MLRUN = "mlrun.serving."

#: What an object's name stands for: modules, dicts, or objects with members.
Namespace = Sequence[Any]


def as_namespace(namespace: Any) -> list[Any]:
    """Return a namespace from a module, a dict, a list of them, or nothing."""
    if namespace is None:
        return []
    if isinstance(namespace, list | tuple):
        return [entry for entry in namespace if entry is not None]
    return [namespace]


def find_class(name: Any, namespace: Namespace, step: str) -> Any:
    """Return the class that a step names; a class itself is returned. Raises GraphError with the step's name."""
    from mms.interfaces.mlrun.graph.steps.storey import own_class

    own = own_class(name, step)
    if own is not None:
        return own
    if not isinstance(name, str):
        return name
    found = find_object(name, namespace) if name else None
    if found is None:
        raise GraphError(
            f"step {step}: class {name or '(without a name)'} was not found, neither in the "
            "function's code nor as an importable name"
        )
    if isinstance(found, AbsentName):
        raise GraphError(f"step {step}: {found.absence}")
    if not callable(found):
        raise GraphError(f"step {step}: {name} is a {type(found).__name__}, but must be a class")
    return found


def find_handler(handler: Any, namespace: Namespace, step: str) -> Callable[..., Any]:
    """Return the function that a step names, by name, dotted path or expression. Raises GraphError."""
    if callable(handler):
        return handler  # type: ignore[no-any-return]  # callable, of whatever kind
    if not isinstance(handler, str) or not handler:
        raise GraphError(
            f"step {step}: a handler must be a function, its name, or an expression in "
            f"parentheses, not {brief(handler)}"
        )
    handler = handler.strip()
    if is_expression(handler):
        return expression(handler, ("event",), step)
    if not _is_name(handler):
        raise GraphError(f"step {step}: {_no_name(handler)}")
    found = find_object(handler, namespace)
    if found is None:
        raise GraphError(
            f"step {step}: handler {handler} was not found, neither in the function's code nor "
            "as an importable name"
        )
    if not callable(found):
        raise GraphError(
            f"step {step}: handler {handler} is a {type(found).__name__}, but must be a function"
        )
    return found  # type: ignore[no-any-return]


def find_object(name: str, namespace: Namespace) -> Any:
    """Return what a name stands for: in the namespace (later entries last), built in, or to be imported. None: nothing.

    Raises what a module raises that is found but cannot be imported.
    """
    first, *members = name.split(".")
    for entry in namespace:
        found = _member(entry, first)
        for member in members:
            found = _member(found, member)
        if found is not None:
            return found
    built_in = _built_in(name)
    if built_in is not None:
        return built_in
    return _imported(name)


def is_expression(text: str) -> bool:
    return text.startswith("(") and text.endswith(")")


def expression(text: str, names: Sequence[str], step: str) -> Callable[..., Any]:
    """Return a function of `names` that evaluates an expression over them. Raises GraphError for what is none.

    Python's built-in names are there, others are not.
    """
    try:
        # Compiled alone, first: a parenthesis too many must not become a part of the function around it.
        compile(text, f"<expression of step {step}>", "eval")
        made = eval(f"lambda {', '.join(names)}: ({text}\n)", {})
    except SyntaxError as error:
        raise GraphError(f"step {step}: the expression {text} is not valid: {error}") from error
    return made  # type: ignore[no-any-return]


def _is_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _no_name(text: str) -> str:
    """Return what is wrong with a text that is neither a function's name nor an expression in parentheses."""
    try:
        compile(text, "<expression>", "eval")
    except SyntaxError as error:
        return f"the expression {text} is not valid: {error.msg}"
    except ValueError as error:
        return f"the expression {brief(text)} is not valid: {error}"
    if text.startswith("lambda"):
        return f"{text} is not the name of a function; an expression over event is right, such as (event['a'] * 2)"
    return f"{text} is not the name of a function; as an expression it must be in parentheses: ({text})"


def class_name_of(cls: Any) -> str:
    """Return the name under which a class or function can be found again, that of MLRun where MLRun has it."""
    known = getattr(cls, "__dict__", {}).get("_CLASS_NAME")
    if known:
        return str(known)
    module = getattr(cls, "__module__", None)
    name = getattr(cls, "__qualname__", None) or getattr(cls, "__name__", None) or str(cls)
    if module in (None, "__main__", "builtins"):
        return str(name)
    return f"{module}.{name}"


def is_remote(name: Any) -> bool:
    """Return whether a step's class is that of calls to another server."""
    if isinstance(name, str):
        return name == REMOTE or name.rpartition(".")[2] in ("RemoteStep", "BatchHttpRequests")
    return getattr(name, "__module__", "") == _REMOTE


def _member(entry: Any, name: str) -> Any:
    if isinstance(entry, dict):
        return entry.get(name)
    return getattr(entry, name, None)


def _built_in(name: str) -> Any:
    if name == REMOTE:
        name = "RemoteStep"
    elif name.startswith(_PACKAGE_OF_MLRUN):
        # MLRun's own routers and steps expect its own server around them: ours stand for them, wherever they are.
        name = name.rpartition(".")[2]
    if name in FEATURE_ROUTERS:
        return absent(name)
    if name not in BUILT_IN:
        return None
    return getattr(_module(PLACE_OF[name].partition(":")[0]), name)


def _imported(name: str) -> Any:
    """Return an attribute of the longest importable part of a dotted name."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:length])
        try:
            found = _module(module_name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if module_name == missing or module_name.startswith(missing + "."):
                continue
            raise
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found
    return None


def _module(name: str) -> Any:
    __import__(name)
    return sys.modules[name]
