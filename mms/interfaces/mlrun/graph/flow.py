"""Flows: graphs of steps that events go through."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.flow_plan import plan_flow
from mms.interfaces.mlrun.graph.steps.base import (
    MAX_STEPS,
    PREVIOUS,
    BaseStep,
    StepKinds,
    StepOptions,
    names_in,
)
from mms.interfaces.mlrun.graph.steps.children import ParentStep
from mms.interfaces.mlrun.graph.steps.factory import make_error_step, make_step, step_from_dict
from mms.interfaces.mlrun.graph.steps.queue import QueueStep, unwrapped
from mms.interfaces.mlrun.graph.steps.task import ErrorStep

ENGINES = ("async", "sync")


class FlowStep(ParentStep):
    """A graph of steps.

    Engine `sync`: one step after the other, in the thread that asks; the last one's answer is the reply. Engine
    `async`: branches run beside each other; the responder's answer is the reply, without one it is the event's id.
    """

    kind = StepKinds.flow
    _MADE = ("context", "_runner")
    _FIELDS = ("comment", "after", "on_error", "engine", "steps", "final_step")

    def __init__(
        self,
        name: str | None = None,
        steps: dict[str, Any] | None = None,
        after: list[str] | None = None,
        engine: str | None = None,
        final_step: str | None = None,
    ) -> None:
        """`steps`: by their names, steps or their documents."""
        super().__init__(name, after)
        self._engine = None if engine is None else _checked_engine(engine)
        self._children: dict[str, BaseStep] = {}
        self._last_added: BaseStep | None = None
        self.final_step = final_step
        self._runner: Any = None
        self._made: list[BaseStep] = []
        if steps:
            self.steps = steps

    @property
    def engine(self) -> str | None:
        return self._engine

    @engine.setter
    def engine(self, engine: str | None) -> None:
        self._engine = None if engine is None else _checked_engine(engine)

    @property
    def steps(self) -> dict[str, BaseStep]:
        return self._children

    @steps.setter
    def steps(self, steps: dict[str, Any]) -> None:
        self._children = {}
        self._last_added = None
        for name, step in steps.items():
            made = step if isinstance(step, BaseStep) else step_from_dict(name, step)
            made.name = made.name or name
            self._put(made)

    def __getitem__(self, name: str) -> BaseStep:
        if name in self._children:
            return self._children[name]
        if name.partition("/")[0] in self._children:
            found: BaseStep = self.path_to_step(name)
            return found
        raise KeyError(self._lacks(name))

    def __setitem__(self, name: str, step: BaseStep) -> None:
        step.name = name
        self._put(step)

    def path_to_step(self, path: str | None) -> Any:
        """Return the step at `<step>[/<route>]`; the flow itself without a path. Raises GraphError."""
        found: Any = self
        for name in (path or "").split("/") if path else ():
            if name not in found:
                raise GraphError(f"there is no step {path}: {name} is not known")
            found = found[name]
        return found

    def clear_children(self, steps: list[str] | None = None) -> None:
        """Remove steps: those, or all."""
        self._remove(steps)

    def _remove(self, names: list[str] | None) -> None:
        super()._remove(names)
        self._last_added = None

    def _lacks(self, name: str) -> str:
        return f"the flow has no step {name}, only {', '.join(self._children) or 'none'}"

    # Building

    def add_step(
        self,
        class_name: Any = None,
        name: str | None = None,
        handler: Any = None,
        after: Any = None,
        before: Any = None,
        graph_shape: str | None = None,
        function: str | None = None,
        full_event: bool | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        **class_args: Any,
    ) -> Any:
        """Add a step, and return it.

        `after`: the step, or steps, it comes after (`$prev`: that which was added last). `before`: the step that
        comes after it now, in the place of those that `after` names, or of all.
        """
        options = StepOptions(handler, graph_shape, function, full_event, input_path, result_path)
        step = make_step(class_name, name, options, class_args)
        return self.insert_step(step.name, step, after, before)

    def insert_step(self, key: str, step: BaseStep, after: Any = None, before: Any = None) -> Any:
        """Add a step under a name, between others; see add_step(). Raises GraphError and MLRunInvalidArgumentError."""
        step.name = key
        previous = self._names_after(after)
        following = [name for name in names_in(before) if name]
        for name in following:
            if name not in self._children:
                raise MLRunInvalidArgumentError(
                    f"cannot add step {key} before {name}, there is no such step"
                )
            if name == key or name in previous:
                raise GraphError(f"step {key} cannot come before {name}: it comes after that step")
        if key in previous:
            raise GraphError(f"step {key} cannot come after itself: give it another name")
        self._check_function(step, previous)
        if previous:
            step.after_step(*previous, append=False)
        elif following:
            # It takes over the ways to the step that it is put before.
            step.after_step(*self._children[following[0]].after, append=False)
        taken_over = list(step.after)
        self._put(step)
        for name in following:
            follower = self._children[name]
            kept = [other for other in follower.after if other not in taken_over]
            follower.after_step(*kept, key, append=False)
        return step

    def error_handler(
        self,
        name: str | None = None,
        class_name: Any = None,
        handler: Any = None,
        before: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> BaseStep:
        """Set the step that gets the events on which any step without a handler of its own fails."""
        if before:
            raise MLRunInvalidArgumentError(
                "the error handler of the whole graph cannot have before=: there is no step after it to go on with"
            )
        if class_name is None and handler is None:
            self.on_error = name
            return self
        names = ("function", "full_event", "input_path", "result_path")
        given = {option: kwargs.pop(option) for option in names if option in kwargs}
        given.update(zip(names, args, strict=False))
        options = StepOptions(handler, **given)
        self.on_error = self._add_error_step(class_name, name, None, options, kwargs).name
        return self

    def set_flow(self, steps: list[Any], force: bool = False) -> Any:
        """Make the flow of a list: of steps, or of what add_step() takes, each after the one before it.

        Returns the last one. Raises MLRunInvalidArgumentError where there are steps already, unless `force`.
        """
        if not force and self._children:
            raise MLRunInvalidArgumentError(
                "the graph has steps already: use force=True to replace them"
            )
        self.clear_children()
        return self._append_steps(self, steps)

    # Running

    def init_object(
        self, context: Any, namespace: Any, mode: str = "sync", reset: bool = False, **extra: Any
    ) -> None:
        """Check the flow and make its steps. Raises GraphError for one that cannot be, by the steps' names."""
        super().init_object(context, namespace, mode)
        is_sync = self._engine == "sync"
        function = getattr(context, "current_function", None)
        plan = plan_flow(self._children, function, self.on_error, is_sync)
        for step in plan.steps.values():
            if isinstance(step, QueueStep):
                has_followers = any(step.name in other.after for other in self._children.values())
                step.place(has_followers, not plan.followers[step.name])
            step.init_object(context, namespace, "skip", reset)
            if is_sync and getattr(step, "has_branches", False):
                raise GraphError(
                    f"step {step.name} makes several events from one, or chooses where they go, but a flow of engine "
                    "sync has no branches: use engine async"
                )
        self._made = list(plan.steps.values())
        if mode != "skip":
            self.post_init(mode)
        if is_sync:
            from mms.interfaces.mlrun.graph.sync_flow import SyncFlow

            self._runner = SyncFlow(plan, context)
        else:
            from mms.interfaces.mlrun.graph.async_flow import AsyncFlow

            self._runner = AsyncFlow(plan, context)

    def post_init(self, mode: str = "sync") -> None:
        for step in self._made:
            step.post_init(mode)

    def run(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the event with the reply as its body. Raises what a step raised on the way to it."""
        if self._runner is None:
            raise GraphError("the flow was not initialized: call init_object() first")
        return self._runner.run(unwrapped(event))

    def wait_for_completion(self, timeout_s: float | None = None) -> None:
        """Return when no event is under way and queues are written. Raises TimeoutError after `timeout_s`."""
        if self._runner is not None:
            self._runner.wait_for_completion(timeout_s)
        for step in self._children.values():
            if isinstance(step, QueueStep):
                step.flush()

    # What steps ask of the flow they are in

    def _flow(self) -> FlowStep:
        return self

    def _add_after(
        self,
        previous: BaseStep | None,
        class_name: Any,
        name: str | None,
        options: StepOptions,
        class_args: dict[str, Any],
    ) -> BaseStep:
        step = make_step(class_name, name, options, class_args)
        if previous is not None:
            if step.name == previous.name:
                raise GraphError(
                    f"step {step.name} cannot come after itself: give the second one another name"
                )
            self._check_function(step, [previous.name])
            step.after_step(previous.name, append=isinstance(step, QueueStep))
        self._put(step)
        return step

    def _add_error_step(
        self,
        class_name: Any,
        name: str | None,
        before: Any,
        options: StepOptions,
        class_args: dict[str, Any],
    ) -> ErrorStep:
        step = make_error_step(class_name, name, options, class_args)
        step.before = names_in(before)
        last = self._last_added
        self._put(step)
        # `$prev` is the step that was followed, not the one beside the way.
        self._last_added = last
        return step

    def _set_flow_after(self, previous: BaseStep, steps: list[Any], force: bool) -> Any:
        following = [name for name, step in self._children.items() if previous.name in step.after]
        if following and not force:
            raise MLRunInvalidArgumentError(
                f"step {previous.name} has steps after it already ({', '.join(following)}): use "
                "force=True to replace them"
            )
        while following:
            self._children.pop(following.pop())
            following = [
                name
                for name, step in self._children.items()
                if step.after and not any(before in self._children for before in step.after)
            ]
        return self._append_steps(previous, steps)

    def _append_steps(self, last: Any, steps: list[Any]) -> Any:
        for step in steps:
            if isinstance(step, dict):
                last = last.to(**step)
            else:
                last = last.to(step)
        return last

    def _put(self, step: BaseStep) -> None:
        if step.name not in self._children and len(self._children) >= MAX_STEPS:
            raise MLRunInvalidArgumentError(f"a flow cannot have more than {MAX_STEPS} steps")
        step.set_parent(self)
        self._children[step.name] = step
        self._last_added = step

    def _names_after(self, after: Any) -> list[str]:
        names = []
        for name in names_in(after):
            if name == PREVIOUS:
                if self._last_added is None:
                    continue
                name = self._last_added.name
            if name not in self._children:
                raise MLRunInvalidArgumentError(
                    f"cannot add a step after {name}, there is no such step"
                )
            names.append(name)
        return names

    def _check_function(self, step: BaseStep, previous: list[str]) -> None:
        follows_queue = any(isinstance(self._children[name], QueueStep) for name in previous)
        if follows_queue and not step.function and not isinstance(step, QueueStep):
            raise MLRunInvalidArgumentError(
                f"step '{step.name}' must specify a function, because it follows a queue step"
            )

    def _document_of(self, field: str, value: Any) -> Any:
        if field == "steps":
            return {name: step.to_dict() for name, step in value.items()}
        return super()._document_of(field, value)


class RootFlowStep(FlowStep):
    """The flow that is a whole graph."""

    kind = StepKinds.root

    def to_dict(
        self,
        fields: list[str] | None = None,
        exclude: list[str] | None = None,
        strip: bool = False,
    ) -> dict[str, Any]:
        document = super().to_dict(fields, exclude, strip)
        # A graph without a kind is a flow.
        del document["kind"]
        return document


def _checked_engine(engine: str) -> str:
    if engine not in ENGINES:
        raise MLRunInvalidArgumentError(
            f"unsupported engine {engine}, use one of {', '.join(ENGINES)}"
        )
    return engine
