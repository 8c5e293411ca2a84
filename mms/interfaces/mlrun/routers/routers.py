"""Routers: which of their routes answers an event, or all of them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from mms.bodies.error_message import error_message
from mms.brief import brief
from mms.interfaces.mlrun.errors import error_text, status_of, with_strict_status
from mms.interfaces.mlrun.graph.step_dict import StepToDict
from mms.interfaces.mlrun.model.model_path import resolve_route
from mms.interfaces.mlrun.model.request_body import INPUTS_KEYS, parse_body
from mms.interfaces.mlrun.paths import get_path, put_path

#: `array`: one after the other. `process` is `thread` here: routes that shall have processes are models of the server.
EXECUTORS = ("array", "thread", "process")


class BaseModelRouter(StepToDict):
    """What all routers are: an event's body is read, and a route answers it.

    `routes`: by their keys, what has `run(event) -> event`.
    """

    _STEP_KIND = "router"

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
        """Called once, when all routes are made. Raises for what they do not fit to."""
        if self.context is not None:
            self.context.logger.info("Loaded %s", list(self.routes))

    def get_param(self, key: str, default: Any = None) -> Any:
        if key in self._params:
            return self._params[key]
        return default if self.context is None else self.context.get_param(key, default=default)

    # What subclasses may have of their own

    def parse_event(self, event: Any) -> Any:
        """The body of an event as routes get it. Raises ValueError."""
        return parse_body(event, protocol=self.protocol, takes_data_url=self._option("data_url"))

    def preprocess(self, event: Any) -> Any:
        return event

    def postprocess(self, event: Any) -> Any:
        return event

    def get_metadata(self) -> dict[str, Any]:
        """What the server says of itself."""
        return {"name": type(self).__name__, "version": "v2", "extensions": []}

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
        """Have a route answer, for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it routes")

    def _is_health(self, path: str, method: str | None) -> bool:
        prefix = self.health_prefix
        is_below = path == prefix or path.startswith(prefix.rstrip("/") + "/")
        return is_below or (method == "GET" and path in ("", "/"))

    def _has_option(self, name: str) -> bool:
        return bool(self._option(name))

    def _option(self, name: str) -> Any:
        return getattr(getattr(self.context, "options", None), name, False)

    def _run_route(self, key: str, event: Any, operation: str) -> Any:
        """The event with the route's answer."""
        event.path = operation
        return self.routes[key].run(event)


class ModelRouter(BaseModelRouter):
    """Each request to the one model that it names, by its path or its body."""

    _CLASS_NAME = "mlrun.serving.ModelRouter"

    def _handle_event(self, event: Any) -> Any:
        model, operation = resolve_route(
            event.path,
            event.body,
            self.routes,
            url_prefix=self.url_prefix,
            has_body_operation=self._has_option("body_operation"),
        )
        if not model:
            event.terminated = True
            event.body = {"models": list(self.routes)}
            return event
        answered = self._run_route(model, event, operation or "")
        event.body = None if answered is None else answered.body
        return event


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
        input_path: str | None = None,
        result_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        """`extend_event`: the answer begins with the request's body."""
        super().__init__(
            context,
            name,
            routes,
            protocol,
            url_prefix,
            health_prefix,
            input_path,
            result_path,
            **kwargs,
        )
        executor_type = str(getattr(executor_type, "value", executor_type) or "thread")
        if executor_type not in EXECUTORS:
            raise ValueError(
                f"executor_type is {brief(executor_type)}, must be one of {', '.join(EXECUTORS)}"
            )
        self.extend_event = extend_event
        self.executor_type = executor_type
        self._pool: Any = None

    def merger(self, body: Any, results: dict[str, Any]) -> Any:
        """One answer of all routes' answers, by key."""
        for key, result in results.items():
            if not isinstance(result, dict):
                raise TypeError(
                    f"route {key} answered a {type(result).__name__}; {type(self).__name__} merges dicts"
                )
            body.update(result)
        return body

    def close(self) -> None:
        """End its threads. It may be asked again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _handle_event(self, event: Any) -> Any:
        body = own_copy(event.body) if self.extend_event else {}
        answers, failures = self._ask_all(event, list(self.routes), event.path or "")
        event.body = with_failures(self.merger(body, answers), failures)
        return event

    def _ask_all(
        self, event: Any, keys: list[str], operation: str
    ) -> tuple[dict[str, Any], dict[str, BaseException]]:
        """(answers, errors) by key, in the order of the keys. Raises RuntimeError where all fail."""
        if not keys:
            raise with_strict_status(
                RuntimeError(f"router {self.name or type(self).__name__} has no routes"), 503
            )

        def ask(key: str) -> Any:
            asked = copy.copy(event)
            asked.body = own_copy(event.body)
            return body_of(self._run_route(key, asked, operation))

        outcomes = self._outcomes(ask, keys)
        answers = {key: value for key, (value, error) in outcomes.items() if error is None}
        failures = {key: error for key, (_, error) in outcomes.items() if error is not None}
        for key, error in failures.items():
            if self.context is not None:
                name = self.name or type(self).__name__
                self.context.logger.error("route %s of %s failed: %s", key, name, error_text(error))
                self.context.push_error(event, error_text(error), source=f"{name}.{key}")
        if not answers:
            raise all_failed(self.name or type(self).__name__, failures)
        return answers, failures

    def _outcomes(
        self, ask: Callable[[str], Any], keys: list[str]
    ) -> dict[str, tuple[Any, BaseException | None]]:
        def outcome(key: str) -> tuple[Any, BaseException | None]:
            try:
                return ask(key), None
            except Exception as error:
                return None, error

        if self.executor_type == "array" or len(keys) == 1:
            return {key: outcome(key) for key in keys}
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(len(self.routes), thread_name_prefix="mlrun-route")
        return dict(zip(keys, self._pool.map(outcome, keys), strict=True))


def body_of(event: Any) -> Any:
    """A route's answer. Raises RuntimeError for one with a status that tells of an error."""
    body = getattr(event, "body", None)
    status = getattr(body, "status_code", None)
    if body is None or status is None:
        return body
    content = body.body
    if isinstance(content, bytes | bytearray):
        content = bytes(content).decode("utf-8", "replace")
    if status >= 400:
        raise _with_status(RuntimeError(f"({status}): {content}"), status)
    return content


def all_failed(name: str, failures: dict[str, BaseException]) -> RuntimeError:
    """The error of a router whose routes all failed; its status is theirs where they agree."""
    told = "; ".join(f"{key}: {error_text(error)}" for key, error in failures.items())
    error = RuntimeError(f"all models of {name} failed: {told}")
    own = {getattr(cause, "error_status_code", None) for cause in failures.values()}
    if len(own) == 1 and None not in own:
        return _with_status(error, own.pop())
    strict = {status_of(cause, True) for cause in failures.values()}
    return with_strict_status(error, strict.pop() if len(strict) == 1 else 500)


def _with_status(error: RuntimeError, status: Any) -> RuntimeError:
    error.error_status_code = status  # type: ignore[attr-defined]  # what status_of looks for
    return error


def with_failures(answer: Any, failures: dict[str, BaseException]) -> Any:
    """The answer, with what failed named in it where anything did."""
    if failures and isinstance(answer, dict):
        answer["failed"] = {
            key: f"{type(error).__name__}: {error_message(error)}"
            for key, error in failures.items()
        }
    return answer


def own_copy(body: Any) -> Any:
    """The same lists and dicts anew, so that what one route changes no other sees; what they hold is shared."""
    if type(body) is dict:
        return {key: own_copy(value) for key, value in body.items()}
    if type(body) is list:
        return [own_copy(value) for value in body]
    return body


def started() -> tuple[int, int]:
    """(nanoseconds since the epoch, of the clock for durations)."""
    return time.time_ns(), time.perf_counter_ns()
