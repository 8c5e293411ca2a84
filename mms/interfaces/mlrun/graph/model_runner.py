"""Models of MLRun 1.10 and later that one step runs on each event: `ModelRunnerStep` and what it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from enum import Enum
from typing import Any

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError, ModelRunnerError
from mms.interfaces.mlrun.graph.lookup import as_namespace, class_name_of, find_class
from mms.interfaces.mlrun.graph.steps.base import NO_EVENT, StepKinds
from mms.interfaces.mlrun.graph.steps.storey import Choosing
from mms.interfaces.mlrun.graph.steps.task import TaskStep
from mms.interfaces.mlrun.model.model_server import resolved
from mms.interfaces.mlrun.model.step_dict import argument_names


class ParallelExecutionMechanisms(str, Enum):
    """How a model runs, by storey's names. Processes are threads here: a worker is a process of its own already."""

    process_pool = "process_pool"
    dedicated_process = "dedicated_process"
    thread_pool = "thread_pool"
    asyncio = "asyncio"
    shared_executor = "shared_executor"
    naive = "naive"


_NAIVE = ParallelExecutionMechanisms.naive.value
_ASYNCIO = ParallelExecutionMechanisms.asyncio.value
_THREADS = ParallelExecutionMechanisms.thread_pool.value
_SHARED = ParallelExecutionMechanisms.shared_executor.value
_AS_THREADS = ("process_pool", "dedicated_process")
_MECHANISMS = tuple(one.value for one in ParallelExecutionMechanisms if one.value != _SHARED)
_MAX_THREADS = 32
#: In the step's arguments, by MLRun's names.
_MODELS = "models"
_BY_MODEL = "execution_mechanism_by_model_name"


class _WithArguments:
    """What a document names by its class and the arguments of its constructor."""

    def to_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments, as far as the object has members of their names."""
        names: list[str] = []
        for cls in type(self).__mro__:
            if cls is not object and "__init__" in vars(cls):
                own = argument_names(vars(cls)["__init__"])[0]
                names += [name for name in own if name not in names]
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}


class Model(_WithArguments):
    """A base for models. `load()` runs once, then `predict(body)` on each event, or `predict_async(body)`."""

    _CLASS_NAME = "mlrun.serving.Model"
    kind = "model"

    def __init__(
        self,
        name: str,
        raise_exception: bool = True,
        artifact_uri: str | None = None,
        **kwargs: Any,
    ) -> None:
        """`artifact_uri`: the model's folder, file or `store://` address, for get_local_model_path()."""
        if artifact_uri is not None and not isinstance(artifact_uri, str):
            raise MLRunInvalidArgumentError("'artifact_uri' argument must be a string")
        self.name = name
        self.raise_exception = raise_exception
        self.artifact_uri = artifact_uri

    def load(self) -> None:
        """Load the model. Called once, before the first event."""

    def init(self) -> None:
        self.load()

    def predict(self, body: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("predict() method not implemented")

    async def predict_async(self, body: Any, **kwargs: Any) -> Any:
        """Predict in the place of predict() for the execution mechanism `asyncio`."""
        raise NotImplementedError("predict_async() method not implemented")

    def run(self, body: Any, path: str, origin_name: str | None = None) -> Any:
        return self.predict(self.format_batch(body) if isinstance(body, list) else body)

    def run_async(self, body: Any, path: str, origin_name: str | None = None) -> Any:
        return self.predict_async(self.format_batch(body) if isinstance(body, list) else body)

    def get_local_model_path(self, suffix: str = "") -> tuple[str | None, dict[str, Any] | None]:
        """Return (path of the model's file, its other files by their keys); (None, None) without `artifact_uri`.

        Raises ValueError where there is no such file, OSError where it cannot be read.
        """
        if not self.artifact_uri:
            return None, None
        from mms.interfaces.mlrun.files.artifacts import get_model

        file, _, extra_data = get_model(self.artifact_uri, suffix)
        return file, extra_data

    @staticmethod
    def format_batch(body: Any) -> Any:
        """Return what predict() gets in the place of a body that is a list."""
        return body


class ModelRunnerSelector(_WithArguments):
    """A base for what chooses the models that get an event, and the steps that get their results."""

    _CLASS_NAME = "mlrun.serving.ModelRunnerSelector"

    def __init__(self, **kwargs: Any) -> None:
        """Takes any argument."""

    def select_models(self, event: Any, available_models: list[Model]) -> Any:
        """Models, or their names; None: all. Gets the whole event."""
        return None

    def select_outlets(self, event: Any) -> Any:
        """Return the names of the steps behind the runner for the body with the results; None: all."""
        return None


class ModelSelector(_WithArguments):
    """The older form: chooses models alone."""

    _CLASS_NAME = "mlrun.serving.ModelSelector"

    def __init__(self, **kwargs: Any) -> None:
        """Takes any argument."""

    def select(self, event: Any, available_models: list[Model]) -> Any:
        """Models, or their names; None: all. Gets the whole event."""
        return None


class ModelRunner:
    """Runs models on an event, all at the same time.

    The body becomes {model: result}, or the result alone where there is one model.
    """

    _CLASS_NAME = "mlrun.serving.ModelRunner"

    def __init__(
        self,
        name: str,
        models: list[Model],
        mechanisms: dict[str, str],
        select: Callable[[Any, list[Model]], Any],
        choose: Choosing | None,
        raise_exception: bool = True,
        max_threads: int | None = None,
    ) -> None:
        self.name = name
        self.models = {model.name: model for model in models}
        self._mechanisms = mechanisms
        self._select = select
        self._choose = choose
        self._raise_exception = raise_exception
        self._max_threads = max_threads or _MAX_THREADS
        self._pool: Any = None
        self._pool_pid = 0

    def __repr__(self) -> str:
        return f"<ModelRunner {self.name} of {', '.join(self.models)}>"

    def post_init(self, mode: str = "sync") -> None:
        """Load the models. Raises ModelRunnerError for one that cannot predict, and what their loads raise."""
        for model in self.models.values():
            mechanism = self._mechanisms[model.name]
            method = "predict_async" if mechanism == _ASYNCIO else "predict"
            if getattr(type(model), method, None) is getattr(Model, method):
                text = f"is running with {mechanism} execution_mechanism but {method}() is not implemented"
                raise ModelRunnerError({model.name: text})
            model.init()

    def do_event(self, event: Any) -> Any:
        """Run the models. Raises ModelRunnerError where some failed, with the results in the event, and ValueError."""
        chosen = self._chosen(event)
        if not chosen:
            return NO_EVENT
        runs = {}
        for model in sorted(chosen, key=lambda model: self._mechanisms[model.name] == _NAIVE):
            body = deepcopy(event.body)
            if len(chosen) == 1 or self._mechanisms[model.name] == _NAIVE:
                runs[model.name] = _value(self._run(model, body, event.path))
            else:
                runs[model.name] = self._threads().submit(self._run, model, body, event.path).result
        results = {model.name: runs[model.name]() for model in chosen}
        errors = {name: error for name, (_, error) in results.items()}
        bodies = {
            name: {"error": error} if error is not None else result
            for name, (result, error) in results.items()
        }
        event.body = bodies if len(self.models) > 1 else bodies[chosen[0].name]
        if self._raise_exception and any(error is not None for error in errors.values()):
            raise ModelRunnerError(errors)
        return event if self._choose is None else self._choose(event)

    def _chosen(self, event: Any) -> list[Model]:
        found = resolved(self._select(event, list(self.models.values())))
        if found is None:
            return list(self.models.values())
        names = [
            one if isinstance(one, str) else one.name
            for one in ([found] if isinstance(found, str) else found)
        ]
        unknown = [name for name in names if name not in self.models]
        if unknown:
            raise ValueError(
                f"the selector of step {self.name} chose {', '.join(unknown)}, which is not one of its models: "
                f"{', '.join(self.models)}"
            )
        if len(set(names)) < len(names):
            raise ValueError(
                f"the selector of step {self.name} chose a model twice: {', '.join(names)}"
            )
        return [self.models[name] for name in names]

    def _run(self, model: Model, body: Any, path: str) -> tuple[Any, str | None]:
        """Return (the model's result, the text of what it raised)."""
        try:
            run = model.run_async if self._mechanisms[model.name] == _ASYNCIO else model.run
            result = resolved(run(body, path, None))
            if hasattr(result, "__anext__") or hasattr(result, "__next__"):
                raise TypeError(
                    "it returned a generator: results in parts are not supported, return the whole result"
                )
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"
        return result, None

    def _threads(self) -> Any:
        # A fork takes none of the threads along.
        if self._pool is None or self._pool_pid != os.getpid():
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._max_threads, thread_name_prefix="mlrun-models")
            self._pool_pid = os.getpid()
        return self._pool


class ModelRunnerStep(TaskStep):
    """A step of a flow that runs models on each event, with add_model() for each of them."""

    kind = StepKinds.model_runner
    _FIELDS = (*TaskStep._FIELDS, "raise_exception", "max_processes", "max_threads", "pool_factor")

    def __init__(
        self,
        *,
        name: str | None = None,
        model_runner_selector: Any = None,
        model_runner_selector_parameters: dict[str, Any] | None = None,
        model_selector: Any = None,
        model_selector_parameters: dict[str, Any] | None = None,
        raise_exception: bool = True,
        **kwargs: Any,
    ) -> None:
        """`model_runner_selector`: an object, or the name of a class and its `..._parameters`.

        `raise_exception`: the event fails where a model does; else {"error": text} is that model's result.
        Raises GraphError and MLRunInvalidArgumentError.
        """
        if (model_selector or model_selector_parameters) and (
            model_runner_selector or model_runner_selector_parameters
        ):
            raise GraphError(
                "model_selector and model_runner_selector cannot both be given: use model_runner_selector"
            )
        class_args = {
            "model_selector": _selector(
                "model_selector", model_selector, model_selector_parameters
            ),
            "model_runner_selector": _selector(
                "model_runner_selector", model_runner_selector, model_runner_selector_parameters
            ),
        }
        super().__init__(ModelRunner._CLASS_NAME, class_args, name=name, **kwargs)
        self.raise_exception = raise_exception
        self.max_processes: int | None = None
        self.max_threads: int | None = None
        self.pool_factor: int | None = None
        self.shape = "folder"

    def add_model(
        self,
        endpoint_name: str,
        model_class: Any,
        execution_mechanism: str,
        model_artifact: Any = None,
        *_: Any,
        override: bool = False,
        **model_parameters: Any,
    ) -> None:
        """Add a model: an object, or a class or its name with the arguments to make it.

        `execution_mechanism`: `asyncio` for predict_async(); `naive` for one model after the other; `thread_pool`,
        `process_pool` and `dedicated_process` for threads. Raises MLRunInvalidArgumentError, and ValueError for
        another mechanism.
        """
        for option in _OF_MONITORING:
            model_parameters.pop(option, None)
        mechanism = _mechanism(execution_mechanism, endpoint_name)
        is_object = isinstance(model_class, Model)
        if is_object and model_parameters:
            raise MLRunInvalidArgumentError(
                "Cannot provide a model object as argument to `model_class` and also provide `model_parameters`."
            )
        if is_object:
            model_parameters = model_class.to_dict()
            model_class = type(model_class)
        if model_parameters.get("name", endpoint_name) != endpoint_name:
            raise MLRunInvalidArgumentError(
                f"model {endpoint_name} has another name of its own: {model_parameters['name']}"
            )
        models = self.class_args.setdefault(_MODELS, {})
        if endpoint_name in models and not override:
            raise MLRunInvalidArgumentError(
                f"Model with name {endpoint_name} already exists in this ModelRunnerStep."
            )
        artifact = getattr(model_artifact, "uri", None) or model_artifact
        if artifact is not None and "artifact_uri" not in model_parameters:
            model_parameters["artifact_uri"] = str(artifact)
        name = model_class if isinstance(model_class, str) else class_name_of(model_class)
        models[endpoint_name] = [name, {**model_parameters, "name": endpoint_name}]
        self.class_args.setdefault(_BY_MODEL, {})[endpoint_name] = mechanism

    def add_shared_model_proxy(self, endpoint_name: str, *_: Any, **__: Any) -> None:
        raise GraphError(f"model {endpoint_name}: {_NOT_SHARED}")

    def configure_pool_resource(
        self,
        max_processes: int | None = None,
        max_threads: int | None = None,
        pool_factor: int | None = None,
    ) -> None:
        """Set how many models run at the same time (`max_threads`, 32). There are no other pools here."""
        self.max_processes = max_processes
        self.max_threads = max_threads
        self.pool_factor = pool_factor

    @property
    def has_branches(self) -> bool:
        """It chooses where events go, which only flows of engine `async` have."""
        return True

    def _make(self, context: Any, namespace: list[Any], extra: dict[str, Any]) -> None:
        names = as_namespace(namespace)
        given = self.class_args.get(_MODELS) or {}
        if not given:
            raise GraphError(f"step {self.fullname} has no models: add them with add_model()")
        by_model = self.class_args.get(_BY_MODEL) or {}
        mechanisms = {model: _mechanism(by_model.get(model, _THREADS), model) for model in given}
        as_threads = [model for model in given if mechanisms[model] in _AS_THREADS]
        if as_threads and context is not None:
            context.logger.warning(
                "step %s: %s run in threads of the worker, not in processes of their own",
                self.fullname,
                ", ".join(as_threads),
            )
        models = []
        for key, (class_name, parameters) in given.items():
            cls = find_class(class_name, names, f"{self.fullname}, model {key}")
            # That of the package mlrun, where it is installed, is another class.
            if not (hasattr(cls, "init") and hasattr(cls, "run")):
                raise GraphError(
                    f"step {self.fullname}: model {key} is of {class_name}, which must derive from mlrun.serving.Model"
                )
            models.append(_made(cls, {**(parameters or {}), "name": key}, f"model {key}"))
        select, choose = self._selecting(names)
        self._object = ModelRunner(
            self.name, models, mechanisms, select, choose, self.raise_exception, self.max_threads
        )

    def _selecting(self, names: list[Any]) -> tuple[Callable[..., Any], Choosing | None]:
        """Return what chooses models, and what chooses the steps behind them."""
        found = {}
        for option in ("model_selector", "model_runner_selector"):
            class_name, parameters = self.class_args.get(option) or (None, None)
            if class_name:
                cls = find_class(class_name, names, f"{self.fullname}, {option}")
                found[option] = _made(cls, dict(parameters or {}), option)
        if "model_selector" in found:
            return found["model_selector"].select, None
        selector = found.get("model_runner_selector")
        if selector is None:
            return _select_all, None
        outlets = _OneOrMore(selector, self.name, self._outlets())
        return selector.select_models, outlets


class _OneOrMore(Choosing):
    """A selector's outlets: it may name one alone, and an empty list means all."""

    def __init__(self, selector: Any, name: str, outlets: tuple[str, ...]) -> None:
        super().__init__(self, name, outlets)
        self._selector = selector

    def select_outlets(self, body: Any) -> Any:
        found = resolved(self._selector.select_outlets(body))
        return [found] if isinstance(found, str) else found or None


_NOT_SHARED = "models that steps share are not supported: add it to each step with add_model()"
#: Arguments of add_model() for MLRun's model monitoring, which is not here.
_OF_MONITORING = (
    *("labels", "model_endpoint_creation_strategy", "inputs", "outputs"),
    *("input_path", "result_path"),
)


def _select_all(event: Any, available_models: list[Model]) -> None:
    return None


def _value(value: Any) -> Callable[[], Any]:
    return lambda: value


def _mechanism(given: Any, model: str) -> str:
    name = str(getattr(given, "value", given))
    if name == _SHARED:
        raise GraphError(f"model {model}: {_NOT_SHARED}")
    if name not in _MECHANISMS:
        raise ValueError(
            f"Execution mechanism '{name}' of model {model} is invalid. It must be one of: {', '.join(_MECHANISMS)}"
        )
    return name


def _selector(option: str, given: Any, parameters: dict[str, Any] | None) -> list[Any]:
    """Return the name of a selector's class and its arguments, as a document has them."""
    if given is None or isinstance(given, str):
        return [given, parameters]
    if isinstance(given, type):
        return [class_name_of(given), parameters]
    if parameters:
        raise MLRunInvalidArgumentError(
            f"{option}_parameters are for the name of a class: {option} is an object already"
        )
    return [class_name_of(type(given)), given.to_dict()]


def _made(cls: Any, arguments: dict[str, Any], what: str) -> Any:
    # MLRun's documents have an artifact_uri of null for every model.
    if arguments.get("artifact_uri", "") is None:
        del arguments["artifact_uri"]
    try:
        return cls(**arguments)
    except TypeError as error:
        raise TypeError(f"failed to init {what}: {error}") from error
