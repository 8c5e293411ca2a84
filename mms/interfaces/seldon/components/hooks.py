"""The hooks of a component: which it has, in which of their three forms, and how they are called."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from mms.interfaces.seldon.components.signatures import Hook
from mms.interfaces.seldon.errors import SeldonNotImplementedError, is_not_implemented

_log = logging.getLogger("mms.seldon")

#: The operations of data, and what their hooks are named for.
HOOK_NAMES = {
    "predict": "predict",
    "transform-input": "transform_input",
    "transform-output": "transform_output",
    "route": "route",
    "aggregate": "aggregate",
    "send-feedback": "send_feedback",
}

_BASE_NAME = "SeldonComponent"
_BASE_MODULES = ("mms.interfaces.seldon.components.user_model", "seldon_core.user_model")


#: Comes from a hook that says that it is not implemented.
NOT_IMPLEMENTED: Any = object()


def ask(hook: Hook, *arguments: Any) -> Any:
    """Return what a hook returns, or NOT_IMPLEMENTED."""
    try:
        return hook(*arguments)
    except Exception as error:
        if is_not_implemented(error):
            return NOT_IMPLEMENTED
        raise


class RawHook(NamedTuple):
    """A hook that takes and returns whole messages. `is_legacy`: one of the deprecated, without metrics.

    `message_class`: the name of the protobuf message that its argument is annotated with alone, None for any other.
    """

    call: Callable[[Any], Any]
    name: str
    is_legacy: bool
    message_class: str | None = None

    def ask(self, argument: Any) -> Any:
        """Return what the hook returns, or NOT_IMPLEMENTED, which a legacy one cannot say."""
        return self.call(argument) if self.is_legacy else ask(self.call, argument)


class OwnHooks:
    """What a component has of its own; hooks of the base class count as absent."""

    def __init__(self, component: Any) -> None:
        self._component = component
        self._deprecated: set[str] = set()
        self._bases = [
            base
            for base in type(component).__mro__
            if base.__name__ == _BASE_NAME and base.__module__ in _BASE_MODULES
        ]

    def __repr__(self) -> str:
        return f"<OwnHooks of {type(self._component).__name__}>"

    @property
    def has_base(self) -> bool:
        """Whether the component derives from Seldon's class."""
        return bool(self._bases)

    def base_functions(self, name: str) -> list[Any]:
        """Return what the base class has of that name."""
        return [base.__dict__.get(name) for base in self._bases]

    def find(self, name: str) -> Hook | None:
        """Return the hook; None where it is absent, or the base class's, which only says so."""
        hook = getattr(self._component, name, None)
        if hook is None:
            return None
        if not callable(hook):
            # An attribute of its own of that name is no fault until somebody calls.
            return _refusing(
                f"{type(self._component).__name__}.{name} is not a method, but {hook!r}"
            )
        function = getattr(hook, "__func__", None)
        if function is not None and function in self.base_functions(name):
            return None
        found: Hook = hook
        return found

    def absent(self, name: str) -> SeldonNotImplementedError:
        """Return the error of an operation whose hook is absent."""
        text = "is not implemented" if self.has_base else "not defined"
        return SeldonNotImplementedError(f"{name if self.has_base else name.capitalize()} {text}")

    def need(self, name: str) -> Hook:
        """Return the hook. Raises SeldonNotImplementedError where it is absent."""
        hook = self.find(name)
        if hook is None:
            raise self.absent(name)
        return hook

    def find_raw(self, name: str, is_proto: bool) -> RawHook | None:
        """Return the legacy hook for messages of a format, else the raw one."""
        # For predict by the format; for all others Seldon takes the first one that there is.
        suffixes = ["_rest", "_grpc"]
        if name == "predict":
            del suffixes[not is_proto]
        for suffix in suffixes:
            hook = self.find(name + suffix)
            if hook is not None:
                if name not in self._deprecated:
                    self._deprecated.add(name)
                    _log.warning("%s%s is deprecated; use %s_raw", name, suffix, name)
                return RawHook(hook, name + suffix, True)
        hook = self.find(f"{name}_raw")
        if hook is None:
            return None
        return RawHook(hook, f"{name}_raw", False, _annotated_class(hook))


def _annotated_class(hook: Hook) -> str | None:
    """Return the class of the first argument. A union with a dict, or none, takes the JSON as it is, as in Seldon."""
    try:
        parameters = list(inspect.signature(hook).parameters.values())
    except (ValueError, TypeError):
        return None
    annotation = parameters[0].annotation if parameters else None
    if isinstance(annotation, str):
        # By its text: what it names may be imported for type checkers alone.
        name = annotation.strip().strip("'\"").rpartition(".")[2]
    else:
        name = getattr(getattr(annotation, "DESCRIPTOR", None), "name", "")
    return name if name in ("SeldonMessage", "SeldonMessageList") else None


def _refusing(message: str) -> Hook:
    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise TypeError(message)

    return refuse
