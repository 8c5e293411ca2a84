"""Objects as the parts of a graph's document: their class, their name, what they were made with."""

from __future__ import annotations

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


#: Arguments that the graph gives itself, or that have members of their own in the document.
_LEFT_OUT = (
    *("self", "context", "name", "routes"),
    *("input_path", "result_path", "full_event", "kwargs"),
)
_VARIABLE_NAMES = 0x08


def argument_names(function: Any) -> tuple[list[str], bool]:
    """Return (the names that a function or method takes, whether it takes any other name as well)."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is not None:
        count = code.co_argcount + code.co_kwonlyargcount
        return list(code.co_varnames[:count]), bool(code.co_flags & _VARIABLE_NAMES)
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], True
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ], any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


class StepToDict:
    """Gives a class `to_dict`, from which the same object can be made again."""

    def to_dict(
        self,
        fields: list[str] | None = None,
        exclude: list[str] | None = None,
        strip: bool = False,
    ) -> dict[str, Any]:
        """{class_name, name, class_args[, kind, input_path, result_path, full_event]}.

        `fields`: members to take in place of the constructor's arguments; `kwargs` stands for its other ones.
        """
        names, takes_any = argument_names(type(self).__init__)
        fields = fields or getattr(self, "_dict_fields", None)
        left_out = (*_LEFT_OUT, *(exclude or ()))
        arguments = {
            name: value
            for name in (fields or names)
            if name not in left_out and (value := getattr(self, name, None)) is not None
        }
        extra = getattr(self, "kwargs", None) or getattr(self, "_kwargs", None)
        if extra and ("kwargs" in fields if fields else takes_any):
            arguments.update({key: extra[key] for key in extra if key not in left_out})
        cls = type(self)
        # Classes that MLRun has as well are named as there: the document is read by both.
        class_name = cls.__dict__.get("_CLASS_NAME")
        if class_name is None:
            class_name = cls.__qualname__
            if cls.__module__ not in ("__main__", "builtins", None):
                class_name = f"{cls.__module__}.{class_name}"
        name = getattr(self, "name", None)
        found: dict[str, Any] = {
            "class_name": class_name,
            "name": name or cls.__name__,
            "class_args": arguments,
        }
        kind = getattr(self, "_STEP_KIND", None)
        if kind:
            found["kind"] = kind
        for member in ("input_path", "result_path"):
            value = getattr(self, f"_{member}", None)
            if value is not None:
                found[member] = value
        if getattr(self, "_full_event", None):
            found["full_event"] = True
        return found
