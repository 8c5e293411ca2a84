"""Which steps of a flow run here, in which order, and what of a flow cannot be. Decisions alone, nothing is run."""

from __future__ import annotations

from mms.interfaces.mlrun.errors import GraphError
from mms.interfaces.mlrun.graph.steps.base import BaseStep, StepKinds

#: As `current_function`: the steps of all functions run in this process.
ALL_FUNCTIONS = "*"


class FlowPlan:
    """The ways of events through the steps of one process. Made once; nothing of it changes."""

    def __init__(self, steps: dict[str, BaseStep], on_error: str | None = None) -> None:
        self.steps = steps
        self.on_error = on_error
        self.starts: list[BaseStep] = []
        self.followers: dict[str, list[BaseStep]] = {name: [] for name in steps}
        self.responder: BaseStep | None = None
        #: Steps beside the flow, for events that others failed on.
        self.handlers: set[str] = set()
        #: Steps whose failure means that the client gets no other reply.
        self.leads_to_reply: set[str] = set()
        #: Whether there is a handler of errors that replies where no step is named as the responder.
        self.has_replying_handler = False

    def __repr__(self) -> str:
        return f"<FlowPlan {len(self.steps)} steps, starts with {names_of(self.starts)}>"

    def handler_of(self, step: BaseStep) -> BaseStep | None:
        """Return the step that gets the events on which a step failed."""
        name = _handler_name(step, self.on_error)
        return self.steps[name] if name else None

    def after(self, step: BaseStep) -> list[BaseStep]:
        """Return where an event goes from a step."""
        return self.followers[step.name]


def plan_flow(
    steps: dict[str, BaseStep],
    current_function: str | None,
    on_error: str | None = None,
    is_sync: bool = False,
) -> FlowPlan:
    """Return how events go through steps. Raises GraphError, with a step's name, where steps do not fit together."""
    _check_names(steps, on_error)
    _check_functions(steps)
    _check_circles(steps, on_error)
    _check_models(steps)
    here = steps_here(steps, current_function)
    plan = FlowPlan(here, on_error if on_error in here else None)
    handlers = _error_handlers(steps, on_error)
    plan.handlers = {name for name in handlers if name in here}
    for step in here.values():
        for name in step.after:
            if name in here:
                plan.followers[name].append(step)
    for step in here.values():
        for name in getattr(step, "before", ()):
            if name in here and here[name] not in plan.followers[step.name]:
                plan.followers[step.name].append(here[name])
        if step.on_error and step.on_error not in here:
            raise GraphError(
                f"step {step.name}: its error handler {step.on_error} belongs to another function"
            )
    plan.starts = [
        step
        for step in here.values()
        if step.name not in handlers and not any(name in here for name in step.after)
    ]
    if not plan.starts:
        raise GraphError("the flow has no step to start with" + _hint(steps, current_function))
    if is_sync:
        _check_sync(plan)
    _find_responder(plan)
    return plan


def _check_functions(steps: dict[str, BaseStep]) -> None:
    """Behind a queue another process may run, so that each step there says of which function it is."""
    for step in steps.values():
        if step.kind == StepKinds.queue or step.function:
            continue
        if any(steps[name].kind == StepKinds.queue for name in step.after):
            raise GraphError(
                f"step '{step.name}' must specify a function, because it follows a queue step"
            )


def steps_here(steps: dict[str, BaseStep], current_function: str | None) -> dict[str, BaseStep]:
    """Return the steps of the process of a function: all where it is None or `*`; "" is the function at the root."""
    if current_function is None or current_function == ALL_FUNCTIONS:
        return dict(steps)
    here = {
        name: step
        for name, step in steps.items()
        if step.kind != StepKinds.queue and (step.function or "") == current_function
    }
    # A queue is written to by those before it; to those after it, it is only where their events come from.
    for name, step in steps.items():
        if step.kind != StepKinds.queue:
            continue
        is_start = not step.after and current_function == ""
        if is_start or any(before in here for before in step.after):
            here[name] = step
    return {name: here[name] for name in steps if name in here}


def names_of(steps: list[BaseStep]) -> str:
    return ", ".join(step.name for step in steps)


def _handler_name(step: BaseStep, on_error: str | None) -> str | None:
    """Return the step that gets what a step fails on: its handler, else the flow's, which is none of other handlers."""
    name = step.on_error
    if not name and step.kind != StepKinds.error_step:
        name = on_error
    return None if name == step.name else name


def _check_names(steps: dict[str, BaseStep], on_error: str | None) -> None:
    known = ", ".join(steps) or "none"
    for step in steps.values():
        for name in step.after:
            if name not in steps:
                raise GraphError(
                    f"step {step.name} is to come after {name}, which is not a step of the flow; "
                    f"its steps: {known}"
                )
        for name in getattr(step, "before", ()):
            if name not in steps:
                raise GraphError(
                    f"step {step.name} is to come before {name}, which is not a step of the flow; "
                    f"its steps: {known}"
                )
        if step.on_error and step.on_error not in steps:
            raise GraphError(
                f"step {step.name}: its error handler {step.on_error} is not a step of the flow; "
                f"its steps: {known}"
            )
    if on_error and on_error not in steps:
        raise GraphError(f"the flow's error handler {on_error} is not one of its steps: {known}")


def _check_models(steps: dict[str, BaseStep]) -> None:
    """Refuse two models of one name in the model runners and routers of a flow, as MLRun does."""
    runners = [step for step in steps.values() if step.kind == StepKinds.model_runner]
    if not runners:
        return
    names = [name for runner in runners for name in runner.class_args.get("models") or ()]  # type: ignore[attr-defined]  # a task step
    names += [route for step in steps.values() for route in getattr(step, "routes", ())]
    again = sorted({name for name in names if names.count(name) > 1})
    if again:
        raise GraphError(f"The graph already contains the model endpoints named - {again}.")


def _check_circles(steps: dict[str, BaseStep], on_error: str | None) -> None:
    ways: dict[str, list[str]] = {name: [] for name in steps}
    for step in steps.values():
        for name in step.after:
            ways[name].append(step.name)
        ways[step.name].extend(getattr(step, "before", ()))
        # An event that fails again and again must not go around for ever.
        handler = _handler_name(step, on_error)
        if handler:
            ways[step.name].append(handler)
    done: set[str] = set()
    for start in steps:
        if start in done:
            continue
        # By hand: a flow may be longer than Python's recursion goes deep.
        path, open_ways = [start], [iter(ways[start])]
        on_path = {start}
        while path:
            following = next(open_ways[-1], None)
            if following is None:
                done.add(path[-1])
                on_path.discard(path.pop())
                open_ways.pop()
            elif following in on_path:
                circle = [*path[path.index(following) :], following]
                raise GraphError(f"the flow goes in a circle: {' -> '.join(circle)}")
            elif following not in done:
                path.append(following)
                on_path.add(following)
                open_ways.append(iter(ways[following]))


def _error_handlers(steps: dict[str, BaseStep], on_error: str | None) -> set[str]:
    handlers = {step.on_error for step in steps.values() if step.on_error}
    handlers |= {name for name, step in steps.items() if step.kind == StepKinds.error_step}
    return handlers | ({on_error} if on_error else set())


def _check_sync(plan: FlowPlan) -> None:
    if len(plan.starts) > 1:
        raise GraphError(
            "a flow of engine sync starts with one step, but this one with "
            f"{names_of(plan.starts)}: use engine async for branches"
        )
    for name, following in plan.followers.items():
        if len(following) > 1:
            raise GraphError(
                f"step {name} is followed by {names_of(following)}, but a flow of engine sync "
                "has no branches: use engine async"
            )


def _find_responder(plan: FlowPlan) -> None:
    """Find the step that replies, and the steps that lead to it."""
    responders = [step for step in plan.steps.values() if step.responder]
    of_flow = [step for step in responders if step.name not in plan.handlers]
    if len(of_flow) > 1:
        raise GraphError(
            f"the flow has more than one responder: {names_of(of_flow)}; only one step can reply"
        )
    plan.responder = of_flow[0] if of_flow else None
    plan.has_replying_handler = any(not plan.followers[name] for name in plan.handlers)
    if plan.responder is None:
        return
    before: dict[str, list[str]] = {name: [] for name in plan.steps}
    for name, following in plan.followers.items():
        for step in following:
            before[step.name].append(name)
    waiting = [plan.responder.name]
    while waiting:
        name = waiting.pop()
        if name not in plan.leads_to_reply:
            plan.leads_to_reply.add(name)
            waiting.extend(before[name])


def _hint(steps: dict[str, BaseStep], current_function: str | None) -> str:
    if not steps:
        return ": it has no steps"
    if current_function in (None, ALL_FUNCTIONS):
        return ""
    return f": none of {', '.join(steps)} belongs to function {current_function or '(root)'}"
