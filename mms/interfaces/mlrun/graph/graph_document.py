"""Graphs and their documents, and a graph that a process runs for others."""

from __future__ import annotations

from typing import Any, NamedTuple

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.flow import RootFlowStep
from mms.interfaces.mlrun.graph.lookup import is_remote
from mms.interfaces.mlrun.graph.steps.base import StepKinds
from mms.interfaces.mlrun.graph.steps.router import RouterStep

#: What is under way when a process ends is waited for so long.
END_S = 5.0


_CYCLIC = "flows that go in circles are not supported: allow_cyclic=True, of MLRun 1.10 and later, asks for one"


class ChildModel(NamedTuple):
    """A route that can run as a model of its own. `fullname`: of the route, after that of its router."""

    key: str
    fullname: str
    document: dict[str, Any]


def graph_from_dict(document: Any) -> RouterStep | RootFlowStep:
    """Return a graph of its document: kind `router`, or without a kind a flow. Raises GraphError for another kind."""
    if not isinstance(document, dict):
        raise GraphError(f"a graph must be a dict, not {type(document).__name__}")
    kind = document.get("kind") or StepKinds.root
    graph: RouterStep | RootFlowStep
    if kind == StepKinds.router:
        graph = RouterStep()
    elif kind in (StepKinds.root, StepKinds.flow):
        graph = RootFlowStep()
    else:
        raise GraphError(f"the graph is of kind {kind}, but must be a router or a flow")
    for member in ("routes",) if kind == StepKinds.router else ("steps",):
        found = document.get(member)
        if found is not None and not isinstance(found, dict):
            raise GraphError(f"the graph's {member} must be a dict, not {type(found).__name__}")
    if document.get("allow_cyclic"):
        raise GraphError(_CYCLIC)
    graph._take(document)
    if kind == StepKinds.router:
        graph.name = ""
    return graph


def new_graph(
    topology: str = "router", class_name: Any = None, engine: str | None = None, **class_args: Any
) -> RouterStep | RootFlowStep:
    """Return an empty graph: `router` (of a class, its name or an object) or `flow` (of an engine).

    Raises MLRunInvalidArgumentError for another topology.
    """
    if topology == "router":
        if isinstance(class_name, RouterStep):
            return class_name
        return RouterStep(class_name, class_args)
    if topology == "flow":
        if class_args.pop("allow_cyclic", None):
            raise MLRunInvalidArgumentError(_CYCLIC)
        class_args.pop("max_iterations", None)
        if class_args:
            raise MLRunInvalidArgumentError(
                f"a flow takes no {', '.join(class_args)}: only engine= (sync or async)"
            )
        return RootFlowStep(engine=engine)
    raise MLRunInvalidArgumentError(f"unsupported topology {topology}, use 'router' or 'flow'")


def child_models(graph: Any) -> list[ChildModel]:
    """Return the routes of a graph's routers that can run as models of their own, with keys that name each of them.

    A key is the route's; where several routers have one of that key, it is `<router>.<key>`.
    """
    routers = [graph] if isinstance(graph, RouterStep) else list(graph.steps.values())
    found = [
        (router, key, route)
        for router in routers
        if isinstance(router, RouterStep)
        for key, route in router.routes.items()
        if route.class_name and not route.handler and not is_remote(route.class_name)
    ]
    keys = [key for _, key, _ in found]
    return [
        ChildModel(
            key if keys.count(key) == 1 else f"{router.name}.{key}", route.fullname, route.to_dict()
        )
        for router, key, route in found
    ]


class GraphModel:
    """A graph that a process serves as one model; it is loaded and asked as model servers are."""

    def __init__(
        self,
        document: Any,
        context: Any,
        namespace: Any = None,
        initialize: Any = None,
        elsewhere: Any = None,
    ) -> None:
        """Make the graph's objects; they load with post_init().

        `initialize`: called with the graph before that, and may still change it.
        With `context.call_model` set, the models among a router's routes are asked through it, by the keys of
        child_models(), and not made here. `elsewhere`: the keys of those for which that is so; None: all.
        Raises GraphError and what constructors raise.
        """
        if not document:
            raise GraphError("there is no graph in the options")
        self.graph = graph_from_dict(document)
        self.context = context
        if initialize is not None:
            initialize(self.graph)
        if context is not None:
            context.root = self.graph
            if getattr(context, "call_model", None) is not None:
                children = child_models(self.graph)
                context.route_keys = {
                    child.fullname: child.key
                    for child in children
                    if elsewhere is None or child.key in elsewhere
                }
        self.graph.init_object(context, namespace, "skip")
        steps = [self.graph, *self.graph.get_children()]
        steps += [route for step in steps[1:] for route in step.get_children()]
        found: list[Any] = [getattr(step, "object", None) for step in steps]
        self._objects = [
            target for target in found if hasattr(target, "ready") and hasattr(target, "load")
        ]
        self._is_loaded = False

    def __repr__(self) -> str:
        return f"<GraphModel of {self.graph!r}>"

    def post_init(self, mode: str = "sync") -> None:
        """Have its models load, at once (sync) or in the background (async). Raises what they raise."""
        self.graph.post_init(mode)
        self._is_loaded = True

    def do_event(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the event with the reply as its body. Raises what the graph raises."""
        return self.graph.run(event)

    def run(self, event: Any) -> Any:
        return self.graph.run(event)

    @property
    def prefix(self) -> str:
        """What the paths of a router begin with; empty for a flow, whose steps make of paths what they like."""
        if not isinstance(self.graph, RouterStep):
            return ""
        return str(getattr(self.graph.object, "url_prefix", "") or "").rstrip("/")

    @property
    def ready(self) -> bool:
        """Whether all its models have loaded."""
        return self._is_loaded and all(target.ready for target in self._objects)

    @property
    def error(self) -> BaseException | str:
        """That of the first model whose load failed in the background, else empty."""
        for target in self._objects:
            error: BaseException | str = getattr(target, "error", "")
            if error:
                return error
        return ""

    def wait_for_completion(self, timeout_s: float | None = None) -> None:
        """Return when no event is under way. Raises TimeoutError."""
        self.graph.wait_for_completion(timeout_s)

    def terminate(self) -> None:
        """Let what is under way end, for a while."""
        try:
            self.graph.wait_for_completion(END_S)
        except TimeoutError as error:
            if self.context is not None:
                self.context.logger.warning("%s", error)
