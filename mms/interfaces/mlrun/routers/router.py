"""The base of all routers, with its driver for this process; routers to the model that a request names, and to all."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any

from mms.interfaces.mlrun.model.request_body import INPUTS_KEYS, parse_body
from mms.interfaces.mlrun.model.step_dict import StepToDict
from mms.interfaces.mlrun.paths import get_path, put_path
from mms.interfaces.mlrun.routers.model_path import (
    OWN_OPERATIONS,
    resolve_named_route,
    resolve_route,
)
from mms.interfaces.mlrun.routers.routing import (
    Ask,
    Call,
    Final,
    Forward,
    Forwarded,
    Outcome,
    Outcomes,
    ReadBody,
    Steps,
    illegal_operation,
    successes,
    with_failures,
)
from mms.text.brief import brief


class ParallelRunnerModes(str, Enum):
    """`executor_type` by names. `process` is `thread` here: a route that needs a process is a model of the server."""

    array = "array"
    process = "process"
    thread = "thread"

    @staticmethod
    def all() -> list[ParallelRunnerModes]:
        return [ParallelRunnerModes(name) for name in EXECUTORS]


EXECUTORS = ("array", "thread", "process")


class BaseModelRouter(StepToDict):
    """A router: it reads an event's body, and routes answer it.

    `routes` has by key what has `run(event) -> event`.
    """

    _STEP_KIND = "router"
    #: Whether it is asked as a model, by its name or by an operation alone.
    is_named = False
    #: Whether a request without a path is its own, whatever model the body names.
    takes_all_bodies = True
    #: Whether its answers are more than those of its models, so that they have records of their own.
    has_records = False

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        routes: dict[str, Any] | None = None,
        protocol: str | None = None,
        url_prefix: str | None = None,
        health_prefix: str | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = name
        self.context = context
        self.routes: dict[str, Any] = routes or {}
        self.protocol = protocol or "v2"
        self.url_prefix = url_prefix or f"/{self.protocol}/models"
        self.health_prefix = health_prefix or f"/{self.protocol}/health"
        self.inputs_key = INPUTS_KEYS.get(self.protocol, "inputs")
        self._input_path = input_path
        self._result_path = result_path
        self._kwargs = self._params = kwargs

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self.routes) or 'no routes'}>"

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        """Check arguments, once, when all routes are made. Raises ValueError for those that do not fit to them."""
        if self.context is not None:
            self.context.logger.info("Loaded %s", list(self.routes))

    def get_param(self, key: str, default: Any = None) -> Any:
        if key in self._params:
            return self._params[key]
        return default if self.context is None else self.context.get_param(key, default=default)

    # What subclasses may have of their own

    def parse_event(self, event: Any) -> Any:
        """Return the body of an event as routes get it. Raises ValueError."""
        return parse_body(event, protocol=self.protocol, takes_data_url=self._option("data_url"))

    def preprocess(self, event: Any) -> Any:
        return event

    def postprocess(self, event: Any) -> Any:
        return event

    def get_metadata(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        return {"name": type(self).__name__, "version": "v2", "extensions": []}

    def steps_of(self, call: Call) -> Steps:
        """See `mms.interfaces.mlrun.routers.routing`."""
        # Not abstract: routers of MLRun's users may have an event handler of their own instead.
        raise NotImplementedError(f"{type(self).__name__} does not say how it routes")

    def list_models(self) -> dict[str, Any]:
        """Return the answer to a request for the models."""
        return {"models": list(self.routes)}

    def describe_routing(self) -> dict[str, Any]:
        """Return what it says of its models besides their names."""
        return {}

    # Events

    def do_event(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer an event: its body becomes the answer. Raises whatever routes and hooks raise."""
        original_body = event.body
        if self._input_path:
            event.body = get_path(original_body, self._input_path)
        event = self._pre_handle_event(self.preprocess(event))
        if not getattr(event, "terminated", False):
            event = self.postprocess(self._handle_event(event))
        if self._result_path:
            event.body = put_path(original_body, self._result_path, event.body)
        return event

    def _pre_handle_event(self, event: Any) -> Any:
        path = event.path or ""
        if self._is_health(path, event.method):
            event.terminated = True
            event.body = self.get_metadata()
            return event
        if event.body and event.method != "GET":
            event.body = self.parse_event(event)
        return event

    def _handle_event(self, event: Any) -> Any:
        """Carry out the steps of a call with the routes of this process."""
        steps = self.steps_of(self._call_of(event))
        sent: Any = None
        error: Exception | None = None
        while True:
            try:
                step = steps.send(sent) if error is None else steps.throw(error)
            except StopIteration as end:
                answer = end.value
                break
            sent = error = None
            try:
                sent = self._carry_out(step, event)
            except Exception as raised:
                error = raised
        if isinstance(answer, Final):
            event.terminated = True
            answer = answer.value
        event.body = answer
        return event

    def _call_of(self, event: Any) -> Call:
        return Call(None, event.path or "", event.method, event.id)

    def _carry_out(self, step: ReadBody | Forward | Ask, event: Any) -> Any:
        if isinstance(step, ReadBody):
            return event.body
        if isinstance(step, Forward):
            event.path = step.operation
            answered = self.routes[step.key].run(event)
            return Forwarded(None if answered is None else answered.body)
        if step.body is not None:
            event.body = step.body

        def outcome(key: str) -> Outcome:
            asked = copy.copy(event)
            asked.path, asked.method = step.operation, step.method or event.method
            asked.body = None if step.method == "GET" else own_copy(event.body)
            try:
                return Outcome(_body_of(self.routes[key].run(asked)))
            except Exception as error:
                return Outcome.of_error(error)

        found = self._outcomes(outcome, step.keys)
        for key, one in found.items():
            if one.failure and self.context is not None:
                name = self.name or type(self).__name__
                self.context.logger.error("route %s of %s failed: %s", key, name, one.failure)
                self.context.push_error(event, one.failure, source=f"{name}.{key}")
        return found

    def _outcomes(
        self, outcome: Callable[[str], Outcome], keys: tuple[str, ...]
    ) -> dict[str, Outcome]:
        return {key: outcome(key) for key in keys}

    def _is_health(self, path: str, method: str | None) -> bool:
        prefix = self.health_prefix
        is_below = path == prefix or path.startswith(prefix.rstrip("/") + "/")
        return is_below or (method == "GET" and path in ("", "/"))

    def _option(self, name: str) -> Any:
        return getattr(getattr(self.context, "options", None), name, False)


class ModelRouter(BaseModelRouter):
    """Each request to the one model that it names, by its path or its body."""

    _CLASS_NAME = "mlrun.serving.ModelRouter"
    takes_all_bodies = False

    def steps_of(self, call: Call) -> Steps:
        if not call.model:
            return Final(self.list_models())
        return (yield Forward(call.model, call.operation)).answer

    def _call_of(self, event: Any) -> Call:
        model, operation = resolve_route(
            event.path,
            event.body,
            self.routes,
            url_prefix=self.url_prefix,
            has_body_operation=bool(self._option("body_operation")),
        )
        return Call(model, operation or "", event.method, event.id)


class NamedRouter(BaseModelRouter, ABC):
    """A router that is asked as a model: by its name, by an operation alone or without a path.

    Any other request goes to the model that it names.
    """

    is_named = True
    default_name = ""

    def list_models(self) -> dict[str, Any]:
        return {"models": [*self.routes, self.name], **self.describe_routing()}

    def steps_of(self, call: Call) -> Steps:
        if call.model is not None:
            if not call.model:
                return Final(self.list_models())
            return (yield Forward(call.model, call.operation)).answer
        if call.method == "GET" and call.operation == "":
            return Final((yield from self._metadata(call)))
        if call.operation in OWN_OPERATIONS:
            return (yield from self._infer(call))
        if call.method == "GET" and call.operation == "ready":
            return (yield from self._readiness(call))
        return (yield from self._operate(call))

    @abstractmethod
    def _infer(self, call: Call) -> Steps:
        """Answer an event of the router's own: of all its models, or of one that it chooses."""

    def _metadata(self, call: Call) -> Steps:
        yield from ()
        return {"name": self.name, "version": "", "inputs": [], "outputs": []} | (
            self.describe_routing()
        )

    def _readiness(self, call: Call) -> Steps:
        # Any of its models may get the next request; the first tells of itself.
        return (yield Forward(next(iter(self.routes)), call.operation)).answer

    def _operate(self, call: Call) -> Steps:
        """Answer an operation of the router's own."""
        yield from ()
        raise illegal_operation(call)

    def _call_of(self, event: Any) -> Call:
        name = self.name or self.default_name
        model, operation = resolve_named_route(
            event.path,
            event.method,
            self.routes,
            name,
            url_prefix=self.url_prefix,
            body=event.body,
            has_body_operation=bool(self._option("body_operation")),
        )
        is_own = model == name and model not in self.routes
        return Call(None if is_own else model, operation or "", event.method, event.id)


class ParallelRun(BaseModelRouter):
    """Each event to all routes at once; their answers, dicts, become one.

    Each route gets a copy of the body. One that fails is named in the answer, under `failed`; where all fail, so
    does the event.
    """

    _CLASS_NAME = "mlrun.serving.ParallelRun"

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        routes: dict[str, Any] | None = None,
        protocol: str | None = None,
        url_prefix: str | None = None,
        health_prefix: str | None = None,
        extend_event: bool | None = None,
        executor_type: str = "thread",
        **kwargs: Any,
    ) -> None:
        """`extend_event`: the answer begins with the request's body."""
        super().__init__(context, name, routes, protocol, url_prefix, health_prefix, **kwargs)
        executor_type = str(getattr(executor_type, "value", executor_type) or "thread")
        if executor_type not in EXECUTORS:
            raise ValueError(
                f"executor_type is {brief(executor_type)}, must be one of {', '.join(EXECUTORS)}"
            )
        self.extend_event = extend_event
        self.executor_type = executor_type
        self._pool: Any = None

    def merger(self, body: Any, results: dict[str, Any]) -> Any:
        """Return one answer of all routes' answers, by key."""
        for key, result in results.items():
            if not isinstance(result, dict):
                raise TypeError(
                    f"route {key} answered a {type(result).__name__}; {type(self).__name__} merges dicts"
                )
            body.update(result)
        return body

    def steps_of(self, call: Call) -> Steps:
        body = (yield ReadBody()) if self.extend_event else None
        outcomes: Outcomes = yield Ask(tuple(self.routes), call.operation)
        answers = successes(self.name or type(self).__name__, outcomes)
        start = own_copy(body) if isinstance(body, dict) else {}
        return with_failures(self.merger(start, answers), outcomes)

    def close(self) -> None:
        """End its threads. It may be asked again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _outcomes(
        self, outcome: Callable[[str], Outcome], keys: tuple[str, ...]
    ) -> dict[str, Outcome]:
        if self.executor_type == "array" or len(keys) < 2:
            return super()._outcomes(outcome, keys)
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(len(self.routes), thread_name_prefix="mlrun-route")
        return dict(zip(keys, self._pool.map(outcome, keys), strict=True))


def _body_of(event: Any) -> Any:
    """Return a route's answer. Raises RuntimeError for one with a status that tells of an error."""
    body = getattr(event, "body", None)
    status = getattr(body, "status_code", None)
    if body is None or status is None:
        return body
    content = body.body
    if isinstance(content, bytes | bytearray):
        content = bytes(content).decode("utf-8", "replace")
    if status >= 400:
        error = RuntimeError(f"({status}): {content}")
        error.error_status_code = status  # type: ignore[attr-defined]  # what status_of looks for
        raise error
    return content


def own_copy(body: Any) -> Any:
    """Return the same lists and dicts anew, so that no route sees what another changes; what they hold is shared."""
    if type(body) is dict:
        return {key: own_copy(value) for key, value in body.items()}
    if type(body) is list:
        return [own_copy(value) for value in body]
    return body
