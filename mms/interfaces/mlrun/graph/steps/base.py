"""What all steps of a graph have in common: their place in it, and the ways to add others after them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from mms.interfaces.mlrun.errors import GraphError

#: The step that was added last, in `after`.
PREVIOUS = "$prev"
#: Of a graph's steps, and of a router's routes.
MAX_STEPS = 4500
#: Comes from a step after which an event does not go on.
NO_EVENT: Any = type("NoEvent", (), {"__repr__": lambda self: "NO_EVENT"})()


class Passing(NamedTuple):
    """Comes from a step that makes several events from one, or chooses where they go; only the engine `async` has it.

    `to`: names of the steps behind it; None for all.
    """

    events: list[Any]
    to: frozenset[str] | None = None


class StepKinds:
    """What a step is, as documents of graphs say it."""

    task = "task"
    router = "router"
    queue = "queue"
    flow = "flow"
    root = "root"
    error_step = "error_step"
    model_runner = "model_runner"


class StepOptions(NamedTuple):
    """What any step may be given besides its class and the arguments of that."""

    handler: Any = None
    graph_shape: str | None = None
    function: str | None = None
    full_event: bool | None = None
    input_path: str | None = None
    result_path: str | None = None


class BaseStep(ABC):
    """A step of a graph. Runs one event at a time, unless `max_in_flight` says otherwise."""

    kind = "base"
    #: The members of its document besides `kind`, in their order.
    _FIELDS: tuple[str, ...] = ("comment", "after", "on_error")
    max_in_flight = 1
    #: What is made by init_object(): copies of a step have none of it.
    _MADE: tuple[str, ...] = ("context",)
    # Not every kind of step has these.
    function: str | None = None
    responder: bool | None = None
    full_event: bool | None = None
    input_path: str | None = None
    result_path: str | None = None

    def __init__(
        self, name: str | None = None, after: list[str] | None = None, shape: str | None = None
    ) -> None:
        self.name = name or ""
        self.after: list[str] = list(after or [])
        self.shape = shape
        self.comment: str | None = None
        self.on_error: str | None = None
        self.context: Any = None
        self._parent: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.fullname or 'root'}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> BaseStep:
        """Return a step like this one before it was made. A graph's copies share no stream, thread or model."""
        from copy import deepcopy

        made = type(self).__new__(type(self))
        memo[id(self)] = made
        for name, value in vars(self).items():
            vars(made)[name] = None if name in self._MADE else deepcopy(value, memo)
        return made

    @property
    def fullname(self) -> str:
        """Its name, after those of the steps that it is in."""
        above = self._parent.fullname if self._parent is not None else ""
        return f"{above}/{self.name}" if above else self.name

    @property
    def parent(self) -> Any:
        return self._parent

    def set_parent(self, parent: Any) -> None:
        self._parent = parent

    # Building a graph

    def to(
        self,
        class_name: Any = None,
        name: str | None = None,
        handler: Any = None,
        graph_shape: str | None = None,
        function: str | None = None,
        full_event: bool | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        **class_args: Any,
    ) -> Any:
        """Add a step after this one, or to a flow one that it starts with, and return it."""
        options = StepOptions(handler, graph_shape, function, full_event, input_path, result_path)
        flow = self._flow()
        previous = None if flow is self else self
        return flow._add_after(previous, class_name, name, options, class_args)

    def after_step(self, *after: Any, append: bool = True) -> BaseStep:
        """Set the steps (or their names) that this one comes after, besides those it has unless not `append`."""
        if not append:
            self.after = []
        for step in after:
            name = step if isinstance(step, str) else step.name
            if name not in self.after:
                self.after.append(name)
        return self

    def respond(self) -> BaseStep:
        """Make what this step returns the reply to the client."""
        self.responder = True
        return self

    def error_handler(
        self,
        name: str | None = None,
        class_name: Any = None,
        handler: Any = None,
        before: Any = None,
        function: str | None = None,
        full_event: bool | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        **class_args: Any,
    ) -> BaseStep:
        """Set the step that gets the events on which this one fails; returns this step.

        `name` alone names a step of the graph; with a class or handler the step is made. `before`: the step, or
        steps, with which the flow goes on; without it the handler's answer is the reply.
        """
        flow = self._flow()
        if class_name is None and handler is None:
            if not name:
                raise GraphError(
                    f"step {self.name}: error_handler() needs the name of a step, or a class or "
                    "handler to make one of"
                )
            self.on_error = name
            return self
        options = StepOptions(handler, None, function, full_event, input_path, result_path)
        step = flow._add_error_step(class_name, name, before, options, class_args)
        step.base_step = self.name
        self.on_error = step.name
        return self

    def set_flow(self, steps: list[Any], force: bool = False) -> Any:
        """Add steps after this one, each after the one before it, and return the last."""
        return self._flow()._set_flow_after(self, steps, force)

    def plot(self, *_: Any, **__: Any) -> None:
        """Draw nothing and say so: scripts and notebooks that call it in MLRun go on here."""
        from mms.interfaces.mlrun.model.logger import Logger

        Logger().warning("plot() draws nothing here: to_yaml() writes the graph as text")

    # Running it

    def init_object(
        self, context: Any, namespace: Any, mode: str = "sync", reset: bool = False, **extra: Any
    ) -> None:
        """Find and make what runs, and load it (`mode`: sync or async) unless `mode` is skip.

        Called once, before the first event.
        """
        self.context = context

    def post_init(self, mode: str = "sync") -> None:
        """Load what was made by init_object() in the mode `skip`: a process may be forked between the two."""
        return

    @abstractmethod
    def run(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the event with this step's answer as its body, or NO_EVENT."""

    def get_children(self) -> list[BaseStep]:
        return []

    # Documents

    def to_dict(
        self,
        fields: list[str] | None = None,
        exclude: list[str] | None = None,
        strip: bool = False,
    ) -> dict[str, Any]:
        """Return the step's document: what was set of it, as JSON has it."""
        document: dict[str, Any] = {"kind": self.kind}
        for field in fields or self._FIELDS:
            value = getattr(self, field, None)
            if value in (None, "", [], {}) or field in (exclude or ()):
                continue
            document[field] = self._document_of(field, value)
        return document

    def to_json(self, exclude: list[str] | None = None, strip: bool = False) -> str:
        import json

        return json.dumps(self.to_dict(exclude=exclude), default=str)

    def to_yaml(self, exclude: list[str] | None = None, strip: bool = False) -> str:
        from mms.bodies.json_text import yaml_of_json

        return yaml_of_json(self.to_json(exclude))

    def _document_of(self, field: str, value: Any) -> Any:
        return list(value) if isinstance(value, list | tuple) else value

    def _take(self, document: dict[str, Any]) -> None:
        """Set the members of a document."""
        for field in self._FIELDS:
            value = document.get(field)
            if value is not None:
                is_list = field in ("after", "before")
                setattr(self, field, names_in(value) if is_list else value)

    def _flow(self) -> Any:
        """Return the flow that steps are added to."""
        parent = self._parent
        if parent is None:
            raise GraphError(
                f"step {self.name or self.kind} is not part of a flow: add it to one, by "
                "graph.to() or graph.add_step()"
            )
        return parent


def names_in(given: Any) -> list[str]:
    """Return the names of steps, of one or a list of names or steps."""
    if given in (None, "", []):
        return []
    several = given if isinstance(given, list | tuple) else [given]
    return [one if isinstance(one, str) else one.name for one in several]


def text_name(class_name: Any, handler: Any) -> str:
    """Return the name of a step that was given none: that of its class, else of its handler."""
    for named in (class_name, handler):
        if named is None or named == "":
            continue
        if isinstance(named, str):
            return named
        own = getattr(named, "__name__", None)
        return str(own or type(named).__name__)
    return ""
