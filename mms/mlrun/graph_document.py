"""Graphs and their documents, and a graph that a process runs for others."""

from __future__ import annotations

from typing import Any, NamedTuple

from mms.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.mlrun.flow import RootFlowStep
from mms.mlrun.lookup import is_remote
from mms.mlrun.router_step import RouterStep
from mms.mlrun.steps import StepKinds

TOPOLOGIES = ("router", "flow")


class ChildModel(NamedTuple):
    """A route that can run as a model of its own. `fullname`: of the route, after that of its router."""

    key: str
    fullname: str
    document: dict[str, Any]


def graph_from_dict(document: Any) -> RouterStep | RootFlowStep:
    """A graph from its document: kind `router`, or without a kind a flow. Raises GraphError for what is neither."""
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
    graph._take(document)
    if kind == StepKinds.router:
        graph.name = ""
    return graph


def new_graph(
    topology: str = "router", class_name: Any = None, engine: str | None = None, **class_args: Any
) -> RouterStep | RootFlowStep:
    """An empty graph: `router` (of a class, its name or an object) or `flow` (of an engine).

    Raises MLRunInvalidArgumentError for another topology.
    """
    if topology == "router":
        if isinstance(class_name, RouterStep):
            return class_name
        return RouterStep(class_name, class_args)
    if topology == "flow":
        return RootFlowStep(engine=engine)
    raise MLRunInvalidArgumentError(f"unsupported topology {topology}, use 'router' or 'flow'")


def child_models(graph: Any) -> list[ChildModel]:
    """The routes of a graph's routers that can run as models of their own, with keys that name each of them.

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
    """A graph that is made and runs: what a worker serves as one model."""

    def __init__(self, graph: RouterStep | RootFlowStep) -> None:
        self.graph = graph

    def __repr__(self) -> str:
        return f"<GraphModel of {self.graph!r}>"

    def run(self, event: Any) -> Any:
        """The event with the reply as its body. Raises what the graph raises."""
        return self.graph.run(event)

    @property
    def is_ready(self) -> bool:
        """Whether all models that load in the background have loaded."""
        return all(getattr(target, "ready", True) for target in self._objects())

    @property
    def load_error(self) -> BaseException | None:
        """That of the first model whose load failed in the background."""
        for target in self._objects():
            error = getattr(target, "error", None)
            if isinstance(error, BaseException):
                return error
        return None

    def wait_for_completion(self, timeout_s: float | None = None) -> None:
        """Return when no event is under way. Raises TimeoutError."""
        self.graph.wait_for_completion(timeout_s)

    def _objects(self) -> list[Any]:
        steps = [self.graph, *self.graph.get_children()]
        steps += [route for step in steps[1:] for route in step.get_children()]
        found = [getattr(step, "object", None) for step in steps]
        return [target for target in found if hasattr(target, "ready") and hasattr(target, "load")]


def open_graph(options: dict[str, Any], context: Any, namespace: Any = None) -> GraphModel:
    """The graph of `options["graph"]`, made. `options["load_mode"]`: sync or async.

    With `context.call_model` set, the models among a router's routes are asked through it, by the keys of
    child_models(), and not made here. Raises GraphError and what constructors and loads raise.
    """
    document = options.get("graph")
    if not document:
        raise GraphError("there is no graph in the options")
    graph = graph_from_dict(document)
    if context is not None:
        context.root = graph
        if getattr(context, "call_model", None) is not None:
            context.route_keys = {child.fullname: child.key for child in child_models(graph)}
    graph.init_object(context, namespace, options.get("load_mode") or "sync")
    return GraphModel(graph)
