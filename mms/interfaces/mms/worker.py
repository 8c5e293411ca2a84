"""The interface `mms`: a function `handle(data, context)`, or one class with such a method."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from mms.context import Context
from mms.metrics.metrics_store import MetricsStore
from mms.version import __version__
from mms.wire import Load
from mms.worker.continuous.step_model import StepBatch, StepModel, is_step_model
from mms.worker.loading.handler_module import classes_of, import_handler_module
from mms.worker.loading.manifest_file import MANIFEST, read_manifest
from mms.worker.loading.model import EntryPoint, Model
from mms.worker.running.awaiting import is_awaitable, wait_for


class Handler(NamedTuple):
    """What a handler's name stands for. A function loads by a call without data, a class by its `initialize`.

    `step_model`: an object of a class that has `admit` and `step` in place of an entry point.
    """

    entry_point: EntryPoint
    is_function: bool
    initialize: Callable[[Context], Any] | None = None
    step_model: StepModel | None = None


def open_model(load: Load) -> Model:
    """Import the model's code and have it load. Raises whatever its code raises."""
    manifest = read_manifest(load.model_dir, MANIFEST)
    context = Context(
        *(load.model_name, load.model_dir, manifest, load.batch_size, load.gpu_id, __version__),
        model_yaml_config=load.model_config,
    )
    handler = find_handler(load.handler)
    if handler.is_function:
        context.metrics = MetricsStore(None, load.model_name)
    problem = initialize(handler, context, is_let_pass=load.initialize_errors == "ignore")
    if handler.step_model is None:
        return Model("mms", handler.entry_point, context, problem)
    running = StepBatch(handler.step_model, context, load.running_places)
    return Model("mms", running.handle, context, problem, is_continuous=True)


def initialize(handler: Handler, context: Context, *, is_let_pass: bool) -> Exception | None:
    """Have a handler load. Return what a class raises, if that `is_let_pass`. Raises whatever else its code raises."""
    if handler.is_function:
        _run(handler.entry_point, None, context)
    elif handler.initialize is not None:
        try:
            _run(handler.initialize, context)
        except MemoryError:
            # The server answers this with 507, which tells a host of many models to make room.
            raise
        except Exception as error:
            if not is_let_pass:
                raise
            return error
    return None


def find_handler(name: str) -> Handler:
    """Resolve `module`, `module:function`, `path/module.py:function` or `package.module:function`.

    Without a function of that name (default `handle`), the module's one class is made and its `handle` taken; so it is
    where the name is that of such a class. Raises ImportError, ValueError, and whatever the module and its class raise.
    """
    module_part, _, function_name = name.partition(":")
    module = import_handler_module(module_part)
    entry_point = getattr(module, function_name or "handle", None)
    service_class: type[Any] | None = None
    if isinstance(entry_point, type) and _is_service(entry_point):
        service_class = entry_point
    elif entry_point is not None:
        if not callable(entry_point):
            kind = type(entry_point).__name__
            raise ValueError(f"handler {name} cannot be called: it is {kind}")
        return Handler(entry_point, is_function=True)
    service = (service_class or _only_class(module, function_name or "handle"))()
    if is_step_model(service):
        initialize = getattr(service, "initialize", None)
        return Handler(_never, is_function=False, initialize=initialize, step_model=service)
    if not callable(getattr(service, "handle", None)):
        raise ValueError(
            f"class {type(service).__name__} has no method handle(data, context), nor admit(request, context) and "
            f"step(active), and module {module.__name__} no function {function_name or 'handle'}; {_content_of(module)}"
        )
    return Handler(
        service.handle, is_function=False, initialize=getattr(service, "initialize", None)
    )


def _never(data: Any, context: Context) -> Any:
    raise TypeError("a model with admit and step has no entry point")


def _is_service(found: type[Any]) -> bool:
    return hasattr(found, "handle") or is_step_model(found)


def _only_class(module: ModuleType, wanted: str) -> type[Any]:
    classes = classes_of(module)
    if len(classes) > 1:
        # Helper classes beside the one that handles requests are no reason to refuse a model.
        classes = [found for found in classes if _is_service(found)] or classes
    if len(classes) != 1:
        raise ValueError(
            f"Expected only one class in module {module.__name__}, or the function {wanted} that its handler names; "
            f"{_content_of(module)}"
        )
    return classes[0]


def _content_of(module: ModuleType) -> str:
    """Return what a module itself defines that could be meant."""
    functions = [
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    ]
    classes = [found.__name__ for found in classes_of(module)]
    return (
        f"functions there: {', '.join(functions) or 'none'}; classes there: "
        f"{', '.join(classes) or 'none'}"
    )


def _run(function: Callable[..., Any], *arguments: Any) -> None:
    result = function(*arguments)
    if is_awaitable(result):
        wait_for(result)
