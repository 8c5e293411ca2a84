"""Steps that run a class or a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.lookup import as_namespace, class_name_of, find_class, find_handler
from mms.interfaces.mlrun.graph.steps.base import NO_EVENT, BaseStep, Passing, StepKinds, text_name
from mms.interfaces.mlrun.model.construction import make_object
from mms.interfaces.mlrun.model.model_server import resolved
from mms.interfaces.mlrun.model.step_dict import argument_names
from mms.interfaces.mlrun.paths import get_path, put_path

#: Looked for in a class in this order, where the step does not name its handler; the first gets the event.
_HANDLERS = ("do_event", "do")
#: What storey's Choice has in their place.
_CHOOSES = "select_outlets"


#: Asks the model that runs elsewhere as `key`: (key, operation, event) -> its answer.
CallModel = Callable[[str, str, Any], Any]


class TaskStep(BaseStep):
    """A class whose object lives as long as the graph, or a function. Also a route of a router."""

    kind = StepKinds.task
    _MADE = ("context", "_object", "_handler", "_called")
    _FIELDS: tuple[str, ...] = (
        *("class_name", "class_args", "handler", "skip_context", "after", "function", "comment"),
        *("shape", "full_event", "on_error", "responder", "input_path", "result_path"),
    )

    def __init__(
        self,
        class_name: Any = None,
        class_args: dict[str, Any] | None = None,
        handler: Any = None,
        name: str | None = None,
        after: list[str] | None = None,
        full_event: bool | None = None,
        function: str | None = None,
        responder: bool | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
    ) -> None:
        """`class_name`: a name, a class, or an object.

        An object with `to_dict` is a template: the step makes one of the same class with the same arguments. Any
        other is used itself.
        """
        super().__init__(name, after)
        self.class_args: dict[str, Any] = dict(class_args or {})
        self.handler = handler
        self.skip_context: bool | None = None
        self.full_event = full_event
        self.function = function
        self.responder = responder
        self.input_path = input_path
        self.result_path = result_path
        self._object: Any = None
        self._is_given = False
        self._handler: Callable[[Any], Any] | None = None
        self._gets_event = False
        self._called: tuple[CallModel, str] | None = None
        self.class_name = self._class_of(class_name)
        if not self.name:
            self.name = text_name(self.class_name, self.handler)

    def __deepcopy__(self, memo: dict[int, Any]) -> BaseStep:
        made = super().__deepcopy__(memo)
        if self._is_given:
            vars(made)["_object"] = self._object
        return made

    @property
    def object(self) -> Any:
        """What it runs, once it is made; None for a function."""
        return self._object

    @property
    def has_branches(self) -> bool:
        """Whether it makes several events from one, or chooses where they go."""
        return hasattr(self._object, _CHOOSES) or bool(
            getattr(self._object, "makes_several", False)
        )

    @property
    def max_in_flight(self) -> int:  # type: ignore[override]  # of the class where that says so
        """How many events it may have at a time."""
        own = self.class_args.get("max_in_flight") or getattr(self._object, "max_in_flight", None)
        return own if isinstance(own, int) and own > 0 else 1

    def init_object(
        self, context: Any, namespace: Any, mode: str = "sync", reset: bool = False, **extra: Any
    ) -> None:
        """Make the object, load it (`mode`: sync or async; skip: not yet), find what is called.

        Raises GraphError for names that stand for nothing, and whatever constructors and loads raise.
        """
        super().init_object(context, namespace, mode)
        names = as_namespace(namespace)
        if self.class_name in (None, ""):
            if self.handler in (None, ""):
                raise GraphError(f"step {self.fullname} has neither a class nor a handler")
            function = find_handler(self.handler, names, self.fullname)
            if "context" in argument_names(function)[0]:
                function = _with_context(function, context)
            self._handler = function
            self._gets_event = bool(self.full_event)
            return
        if not self._is_given or self._object is None:
            self._make(context, names, extra)
        self._handler = self._method(self._object)
        is_event_method = not self.handler and (
            hasattr(self._object, _HANDLERS[0]) or hasattr(self._object, _CHOOSES)
        )
        self._gets_event = bool(self.full_event) or is_event_method or self.handler == _HANDLERS[0]
        if mode != "skip":
            self.post_init(mode)

    def post_init(self, mode: str = "sync") -> None:
        """Tell the object that the graph is made; models load now."""
        post_init = getattr(self._object, "post_init", None)
        if post_init is None:
            return
        names, takes_any = argument_names(post_init)
        # A bound method's first name is that of the object itself.
        resolved(post_init(mode) if takes_any or len(names) > 1 else post_init())

    def ask_elsewhere(self, call: CallModel, key: str) -> None:
        """Have it run as the model of a key, in another process."""
        self._called = call, key

    def run(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        if self._called is not None:
            call, key = self._called
            event.body = call(key, (event.path or "").strip("/"), event)
            return event
        handler = self._handler
        if handler is None:
            raise GraphError(f"step {self.fullname} was not initialized: call init_object() first")
        if self._gets_event:
            return event_of(event, resolved(handler(event)))
        body = get_path(event.body, self.input_path)
        answer = resolved(handler(body))
        if answer is NO_EVENT or isinstance(answer, Passing):
            return answer
        if getattr(self._object, "_filter", None) is True:
            # Set by storey's MapClass.filter().
            self._object._filter = False
            return NO_EVENT
        event.body = put_path(event.body, self.result_path, answer)
        return event

    def _class_of(self, given: Any) -> Any:
        if given is None or isinstance(given, str | type):
            return given
        to_dict = getattr(given, "to_dict", None)
        if to_dict is None:
            if callable(given) and not hasattr(given, "do") and not hasattr(given, "do_event"):
                # A function in the place of a class: it makes the object.
                return given
            self._object = given
            self._is_given = True
            return type(given)
        template = to_dict()
        self.name = self.name or template.get("name") or type(given).__name__
        self.class_args = {**(template.get("class_args") or {}), **self.class_args}
        self.handler = self.handler or template.get("handler")
        self.full_event = self.full_event or template.get("full_event")
        self.input_path = self.input_path or template.get("input_path")
        self.result_path = self.result_path or template.get("result_path")
        return type(given)

    def _make(self, context: Any, namespace: list[Any], extra: dict[str, Any]) -> None:
        cls = find_class(self.class_name, namespace, self.fullname)
        self._object = make_object(
            cls,
            {**self.class_args, **extra},
            name=self._name_for_object(),
            context=None if self.skip_context else context,
            input_path=self.input_path,
            result_path=self.result_path,
            full_event=self.full_event,
            graph_step=self,
            find_callable=lambda name: find_handler(name, namespace, self.fullname),
        )

    def _name_for_object(self) -> str:
        return self.name

    def _method(self, target: Any) -> Callable[[Any], Any]:
        if self.handler:
            found = getattr(target, self.handler, None) if isinstance(self.handler, str) else None
            if found is None:
                raise GraphError(
                    f"step {self.fullname}: {type(target).__name__} has no method {self.handler}"
                )
            return found  # type: ignore[no-any-return]
        for name in _HANDLERS:
            found = getattr(target, name, None)
            if found is not None:
                return found  # type: ignore[no-any-return]
        if hasattr(target, _CHOOSES):
            from mms.interfaces.mlrun.graph.steps.storey import Choosing

            return Choosing(target, self.name, self._outlets())
        raise GraphError(
            f"step {self.fullname}: {type(target).__name__} has neither do_event() nor do(): name "
            "the method to call with handler="
        )

    def _outlets(self) -> tuple[str, ...]:
        """Return the names of the steps behind this one."""
        siblings = self._parent.get_children() if self._parent is not None else []
        return tuple(step.name for step in siblings if self.name in step.after)

    def _document_of(self, field: str, value: Any) -> Any:
        if field in ("class_name", "handler") and not isinstance(value, str):
            return class_name_of(value)
        if field == "class_args":
            return dict(_argument(key, member) for key, member in value.items())
        return super()._document_of(field, value)


class ErrorStep(TaskStep):
    """Gets the events on which other steps failed. `before`: the steps with which the flow goes on."""

    kind = StepKinds.error_step
    _FIELDS = (*TaskStep._FIELDS, "before", "base_step")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.before: list[str] = []
        self.base_step: str | None = None
        super().__init__(*args, **kwargs)

    def error_handler(self, *args: Any, **kwargs: Any) -> BaseStep:
        raise MLRunInvalidArgumentError(
            f"step {self.name} handles errors itself and cannot have an error handler"
        )


def event_of(event: Any, answer: Any) -> Any:
    """Return the event that a handler of whole events returned; one that returned something else set the body."""
    if answer is None or answer is event:
        return event
    if answer is NO_EVENT or isinstance(answer, Passing):
        return answer
    # Answers with a status have a body, too, but are what an event carries.
    if hasattr(answer, "body") and not hasattr(answer, "status_code"):
        return answer
    event.body = answer
    return event


def _with_context(function: Callable[..., Any], context: Any) -> Callable[[Any], Any]:
    def call(body: Any) -> Any:
        return function(body, context=context)

    return call


def _argument(key: str, value: Any) -> tuple[str, Any]:
    """Return an argument as a document has it: classes and functions by their names, which `_<key>` stands for."""
    if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
        return key if key.startswith("_") else f"_{key}", class_name_of(value)
    to_dict = getattr(value, "to_dict", None)
    return key, to_dict() if to_dict is not None else value
