"""Objects of steps and models: made with the arguments that their class takes, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.interfaces.mlrun.model.step_dict import argument_names


def make_object(
    cls: Callable[..., Any],
    class_args: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    context: Any = None,
    input_path: str | None = None,
    result_path: str | None = None,
    full_event: bool | None = None,
    graph_step: Any = None,
    find_callable: Callable[[str], Any] | None = None,
) -> Any:
    """Make an object. What a graph gives besides `class_args` goes to constructors that name it, or take any.

    `find_callable`: what the text of an argument `_<name>` stands for, which becomes argument `<name>`.
    Raises TypeError for a constructor that does not take its arguments; whatever it raises itself.
    """
    given = dict(class_args or {})
    arguments = {}
    for key, value in given.items():
        if key.startswith("_"):
            if isinstance(value, str) and find_callable is not None:
                value = find_callable(value)
            key = key[1:]
        arguments[key] = value
    # Where a class has a way of its own to be made for a graph.
    make = getattr(cls, "of_graph", cls)
    constructor = cls.__init__ if make is cls and isinstance(cls, type) else make  # type: ignore[misc]
    # That of object looks as if it took anything, and takes nothing.
    takes_nothing = constructor is object.__init__
    names, takes_any = ([], False) if takes_nothing else argument_names(constructor)
    of_graph = {
        "name": name,
        "context": context,
        "input_path": input_path,
        "result_path": result_path,
        "full_event": full_event,
        "graph_step": graph_step,
    }
    for key, value in of_graph.items():
        is_always_given = key in ("name", "context")
        if (takes_any or key in names) and (is_always_given or value is not None):
            arguments[key] = value
    try:
        return make(**arguments)
    except TypeError as error:
        raise TypeError(f"failed to init step {name}\n args={class_args}") from error
