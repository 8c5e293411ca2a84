"""Steps from what `to()` and `add_step()` are given, and from their documents."""

from __future__ import annotations

from typing import Any, TypeVar

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.model_runner import ModelRunnerStep
from mms.interfaces.mlrun.graph.steps.base import BaseStep, StepKinds, StepOptions, text_name
from mms.interfaces.mlrun.graph.steps.queue import QueueStep
from mms.interfaces.mlrun.graph.steps.router import RouterStep
from mms.interfaces.mlrun.graph.steps.task import ErrorStep, TaskStep

_Task = TypeVar("_Task", bound=TaskStep)

QUEUE_SIGNS = (">>", "$queue")
_ROUTER_SIGN = "*"
#: Kinds that only newer versions of MLRun have -> their classes.
_OF_NEWER_VERSIONS = {"monitored": "MonitoredStep"}
_KINDS: dict[str, type[BaseStep]] = {
    StepKinds.task: TaskStep,
    StepKinds.router: RouterStep,
    StepKinds.queue: QueueStep,
    StepKinds.error_step: ErrorStep,
    StepKinds.model_runner: ModelRunnerStep,
}


def make_step(
    class_name: Any, name: str | None, options: StepOptions, class_args: dict[str, Any]
) -> BaseStep:
    """Return a step: of a class (`*Name` a router, `>>` or `$queue` a queue), an object, a handler, or a step itself.

    Raises MLRunInvalidArgumentError for what does not make one.
    """
    # Of newer versions of MLRun, about its own database.
    class_args.pop("model_endpoint_creation_strategy", None)
    if isinstance(class_name, BaseStep):
        return _with_options(class_name, name, options)
    if isinstance(class_name, str) and class_name in QUEUE_SIGNS:
        return _queue(name, class_args)
    step: TaskStep
    if isinstance(class_name, str) and class_name.startswith(_ROUTER_SIGN):
        router_class = class_name[len(_ROUTER_SIGN) :]
        routes = class_args.pop("routes", None)
        own_name = name or router_class.rpartition(".")[2] or "router"
        step = RouterStep(router_class or None, class_args, routes=routes, name=own_name)
    elif getattr(class_name, "_STEP_KIND", None) == StepKinds.router:
        own = None if isinstance(class_name, type) else getattr(class_name, "name", None)
        own_name = name or own or text_name(class_name, None)
        step = RouterStep(class_name, class_args, name=own_name)
    else:
        step = _task(TaskStep, class_name, name, options, class_args)
    return _with_options(step, name, options)


def make_error_step(
    class_name: Any, name: str | None, options: StepOptions, class_args: dict[str, Any]
) -> ErrorStep:
    """Make a step as `make_step` does, one that gets the events on which others fail."""
    if isinstance(class_name, TaskStep):
        step = ErrorStep()
        vars(step).update(vars(class_name))
    else:
        step = _task(ErrorStep, class_name, name, options, class_args)
    _with_options(step, name, options)
    return step


def _task(
    kind: type[_Task],
    class_name: Any,
    name: str | None,
    options: StepOptions,
    class_args: dict[str, Any],
) -> _Task:
    if class_name in (None, "") and options.handler is None:
        raise MLRunInvalidArgumentError(
            f"step {name or '(without a name)'}: class_name or handler must be provided"
        )
    step = kind(class_name, class_args, options.handler, name=name)
    step.name = step.name or text_name(class_name, options.handler)
    return step


def step_from_dict(name: str, document: Any) -> BaseStep:
    """Return a step from its document. Raises GraphError for what is none, with the step's name."""
    if not isinstance(document, dict):
        raise GraphError(f"step {name} must be a dict, not {type(document).__name__}")
    kind = document.get("kind") or StepKinds.task
    cls = _KINDS.get(kind)
    if kind in _OF_NEWER_VERSIONS:
        raise GraphError(
            f"step {name}: {_OF_NEWER_VERSIONS[kind]} of newer versions of MLRun is not supported: use a "
            "ModelRunnerStep or a router"
        )
    if cls is None:
        raise GraphError(
            f"step {name} is of kind {kind}, which is not known here; known are {', '.join(_KINDS)}"
        )
    step = cls(name=name)
    step._take(document)
    return step


def _with_options(step: BaseStep, name: str | None, options: StepOptions) -> BaseStep:
    if name:
        step.name = name
    if options.graph_shape:
        step.shape = options.graph_shape
    for option in ("handler", "function", "full_event", "input_path", "result_path"):
        value = getattr(options, option)
        if value is not None:
            setattr(step, option, value)
    return step


def _queue(name: str | None, class_args: dict[str, Any]) -> QueueStep:
    if "path" not in class_args:
        raise MLRunInvalidArgumentError(
            f"queue {name or '(without a name)'}: path must be specified, that of a stream or empty"
        )
    if not name:
        raise MLRunInvalidArgumentError("a queue must have a name")
    return QueueStep(name, **class_args)
