"""The steps of storey that flows of MLRun begin with, as steps of this server's own engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.interfaces.mlrun.errors import GraphError
from mms.interfaces.mlrun.graph.steps.base import NO_EVENT, Passing
from mms.interfaces.mlrun.model.model_server import resolved
from mms.interfaces.mlrun.paths import get_path, put_path

PACKAGE = "storey"


class Flow:
    """What all of them take; storey's own name for it. `full_event`: functions get events in the place of bodies."""

    def __init__(
        self,
        name: str | None = None,
        context: Any = None,
        full_event: bool | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = name or type(self).__name__
        self.context = context
        self.logger = getattr(context, "logger", None)
        self.verbose = bool(getattr(context, "verbose", False))
        self._full_event = full_event
        self._input_path = input_path
        self._result_path = result_path
        self._kwargs = kwargs

    def _given(self, event: Any) -> Any:
        return event if self._full_event else get_path(event.body, self._input_path)

    def _returned(self, event: Any, value: Any) -> Any:
        """Return the event with a function's value as its body; with `full_event` the value is the event."""
        if self._full_event:
            return value
        event.body = put_path(event.body, self._result_path, value)
        return event


class _WithFunction(Flow):
    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        long_running: bool | None = None,
        pass_context: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """`pass_context`: the function gets the context, too, as `context`."""
        super().__init__(**kwargs)
        if fn is None:
            raise GraphError(
                f"step {self.name}: {type(self).__name__} needs a function: _fn= takes its name, or an expression in "
                "parentheses over event"
            )
        if not callable(fn):
            raise TypeError(
                f"fn must be a function, not {type(fn).__name__}: _fn= takes its name or an expression"
            )
        self._fn = fn
        self._options = {"context": self.context} if pass_context else {}

    def _called(self, event: Any) -> Any:
        return resolved(self._fn(self._given(event), **self._options))


class Map(_WithFunction):
    """The function's value is the new body."""

    _CLASS_NAME = "storey.Map"

    def do_event(self, event: Any) -> Any:
        return self._returned(event, self._called(event))


class Extend(_WithFunction):
    """The members of the function's dict are added to the body."""

    _CLASS_NAME = "storey.Extend"

    def do_event(self, event: Any) -> Any:
        for key, value in self._called(event).items():
            event.body[key] = value
        return event


class Filter(_WithFunction):
    """Events for which the function is false go no further."""

    _CLASS_NAME = "storey.Filter"

    def do_event(self, event: Any) -> Any:
        return event if self._called(event) else NO_EVENT


class FlatMap(_WithFunction):
    """One event for each of the function's values. The first that comes to the responder is the reply."""

    _CLASS_NAME = "storey.FlatMap"
    makes_several = True

    def do_event(self, event: Any) -> Any:
        from copy import copy

        return Passing([self._returned(copy(event), value) for value in self._called(event)])


class MapClass(Flow):
    """A base for steps: what `do(body)` returns is the new body."""

    _CLASS_NAME = "storey.MapClass"

    def __init__(self, long_running: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._filter = False

    def filter(self) -> None:
        """Have the event go no further. Called in `do`."""
        self._filter = True

    def do(self, event: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no method do")


class Choice(Flow):
    """Passes an event on to those of the steps behind it that `select_outlets` names."""

    _CLASS_NAME = "storey.Choice"

    def select_outlets(self, event: Any) -> Any:
        """Return names of steps for a body, or with `full_event` for an event; None: all."""
        return None


class Complete(Flow):
    """Passes events on. As in MLRun, it is `respond()` that makes it, or another step, the one that replies."""

    _CLASS_NAME = "storey.Complete"

    def do_event(self, event: Any) -> Any:
        return event


STEPS = {step.__name__: step for step in (Choice, Complete, Extend, Filter, FlatMap, Map, MapClass)}


def own_class(given: Any, step: str) -> Any:
    """Return ours for a class of storey, or for the name of one; None for other classes. Raises GraphError."""
    if isinstance(given, str):
        module, _, name = given.rpartition(".")
    elif isinstance(given, type):
        module, name = given.__module__, given.__name__
    else:
        return None
    if module.partition(".")[0] != PACKAGE:
        return None
    found = STEPS.get(name)
    if found is None:
        raise GraphError(f"step {step}: {unsupported(f'{PACKAGE}.{name}')}")
    return found


def unsupported(name: str) -> str:
    *others, last = STEPS
    return f"steps of storey beyond {', '.join(others)} and {last} are not supported: {name}"


class Choosing:
    """Has a Choice, ours or storey's, say where events go. `outlets`: names of the steps behind it."""

    def __init__(self, choice: Any, name: str, outlets: tuple[str, ...]) -> None:
        self._choice = choice
        self._name = name
        self._outlets = outlets
        self._gets_event = bool(getattr(choice, "_full_event", False))

    def __call__(self, event: Any) -> Passing:
        """Return where the event goes on. Raises ValueError for names of steps that are not behind it."""
        found = resolved(self._choice.select_outlets(event if self._gets_event else event.body))
        names = self._outlets if found is None else list(found)
        unknown = [str(name) for name in names if name not in self._outlets]
        if unknown:
            raise ValueError(
                f"select_outlets() returned {', '.join(unknown)}, which is not one of the steps behind {self._name}: "
                f"{', '.join(self._outlets) or 'there are none'}"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"select_outlets() returned a step twice: {', '.join(names)}")
        return Passing([event], frozenset(names))
