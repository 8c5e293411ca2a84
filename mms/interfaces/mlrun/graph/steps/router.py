"""Steps that choose among routes."""

from __future__ import annotations

from copy import copy
from typing import Any

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.lookup import DEFAULT_ROUTER, NAMED_ROUTERS, is_remote
from mms.interfaces.mlrun.graph.steps.base import MAX_STEPS, BaseStep, StepKinds, text_name
from mms.interfaces.mlrun.graph.steps.children import ParentStep
from mms.interfaces.mlrun.graph.steps.task import CallModel, TaskStep

#: Of a router that is a whole graph. Arguments: its name, its class.
NAME_WITHOUT_EFFECT = (
    "name=%s of the function's router has no effect, as in MLRun: it is asked as %s; "
    "routers in flows have names"
)


class RouterStep(TaskStep, ParentStep):
    """A router and its routes. A graph of its own (topology `router`) or a step of a flow."""

    kind = StepKinds.router
    default_shape = "doubleoctagon"
    _FIELDS = (*TaskStep._FIELDS, "routes")

    def __init__(
        self,
        class_name: Any = None,
        class_args: dict[str, Any] | None = None,
        handler: Any = None,
        routes: dict[str, Any] | None = None,
        name: str | None = None,
        function: str | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        """`routes`: by their keys, steps or documents of steps."""
        self._children: dict[str, TaskStep] = {}
        self._is_root = not name
        super().__init__(
            class_name,
            class_args,
            handler,
            name=name or "",
            function=function,
            input_path=input_path,
            result_path=result_path,
            **kwargs,
        )
        if self._is_root:
            self.name = ""
        # A router object that serves as a template carries its own, which are none of the graph's.
        self.class_args.pop("routes", None)
        if routes:
            self.routes = routes

    @property
    def routes(self) -> dict[str, TaskStep]:
        return self._children

    @routes.setter
    def routes(self, routes: dict[str, Any]) -> None:
        self._children = {}
        for key, route in routes.items():
            self.add_route(key, route)

    def add_route(
        self,
        key: str,
        route: Any = None,
        class_name: Any = None,
        handler: Any = None,
        function: str | None = None,
        **class_args: Any,
    ) -> TaskStep:
        """Add what answers for `key`: a step or its document, or a class or handler to make one of."""
        if key not in self._children and len(self._children) >= MAX_STEPS:
            raise MLRunInvalidArgumentError(f"a router cannot have more than {MAX_STEPS} routes")
        if not key:
            raise MLRunInvalidArgumentError("a route needs a key, by which it is asked")
        if route is None and class_name is None and handler is None:
            raise MLRunInvalidArgumentError(
                f"route {key} needs a route object, a class name or a handler"
            )
        if route is None:
            step = TaskStep(class_name, class_args, handler, name=key, function=function)
        else:
            step = _as_route(key, route)
        step.name = key
        step.set_parent(self)
        self._children[key] = step
        return step

    def clear_children(self, routes: list[str] | None = None) -> None:
        """Remove routes: those, or all."""
        self._remove(routes)

    def __getitem__(self, key: str) -> TaskStep:
        if key not in self._children:
            raise KeyError(self._lacks(key))
        return self._children[key]

    def __setitem__(self, key: str, route: Any) -> None:
        self.add_route(key, route)

    def error_handler(self, *args: Any, **kwargs: Any) -> BaseStep:
        if self._parent is None:
            raise GraphError("a router that is the whole graph cannot have an error handler")
        return super().error_handler(*args, **kwargs)

    def init_object(
        self, context: Any, namespace: Any, mode: str = "sync", reset: bool = False, **extra: Any
    ) -> None:
        """Make the router, then its routes; load these, in their order, and tell the router that it is complete."""
        if self.class_name in (None, ""):
            self.class_name = DEFAULT_ROUTER
        own_name = self.class_args.get("name")
        if (
            self._is_root
            and own_name
            and own_name != self._name_for_object()
            and context is not None
        ):
            context.logger.warning(NAME_WITHOUT_EFFECT, own_name, self._class_of_router())
        super().init_object(context, namespace, "skip", reset, routes=self._children, **extra)
        keys = getattr(context, "route_keys", None) or {}
        for key, route in self._children.items():
            route.context = context
            called = _caller_of(route, context)
            if called is not None:
                route.ask_elsewhere(called, keys.get(route.fullname, key))
            else:
                route.init_object(context, namespace, "skip", reset)
        if mode != "skip":
            self.post_init(mode)

    def post_init(self, mode: str = "sync") -> None:
        for route in self._children.values():
            route.post_init(mode)
        super().post_init(mode)

    def wait_for_completion(self, timeout_s: float | None = None) -> None:
        """Nothing of a router goes on after its answers."""

    def _class_of_router(self) -> str:
        return text_name(self.class_name, None).rpartition(".")[2]

    def _name_for_object(self) -> str:
        if self._is_root and self._class_of_router() in NAMED_ROUTERS:
            return str(self.class_args.get("name") or "")
        return self.name

    def _lacks(self, name: str) -> str:
        keys = " | ".join(self._children) or "none"
        return f"router {self.fullname or 'root'} has no route {name}, only {keys}"

    def _document_of(self, field: str, value: Any) -> Any:
        if field == "routes":
            return {key: route.to_dict() for key, route in value.items()}
        return super()._document_of(field, value)


def _as_route(key: str, route: Any) -> TaskStep:
    """Return a route of the router's own: of a step, of the document of one, or of what a step is made of."""
    if isinstance(route, dict):
        kind = route.get("kind") or StepKinds.task
        if kind != StepKinds.task:
            raise GraphError(f"route {key} is of kind {kind}, which routes cannot be")
        step = TaskStep(name=key)
        step._take(route)
        return step
    if not isinstance(route, TaskStep):
        return TaskStep(route, name=key)
    if route.kind != StepKinds.task:
        raise GraphError(f"route {key} is a {route.kind}, but must be a task")
    return copy(route)


def _caller_of(route: TaskStep, context: Any) -> CallModel | None:
    """Return how to ask the route's model where it runs in another process; None where it is to be made here."""
    call: CallModel | None = getattr(context, "call_model", None)
    if call is None or route.handler or not route.class_name or is_remote(route.class_name):
        return None
    keys = getattr(context, "route_keys", None)
    return call if keys is None or route.fullname in keys else None
