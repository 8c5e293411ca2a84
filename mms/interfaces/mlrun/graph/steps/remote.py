"""Steps, or routes, that are calls of another server: with an event's body, or with each member of a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.bodies.json_text import from_json, to_json
from mms.fetch.http_client import Answer, HttpCallError, call
from mms.interfaces.mlrun.graph.lookup import expression
from mms.interfaces.mlrun.model.step_dict import StepToDict
from mms.interfaces.mlrun.paths import get_path, put_path

EVENT_ID_HEADER = "MLRUN-EVENT-ID"
EVENT_PATH_HEADER = "MLRUN-EVENT-PATH"
#: As `subpath`: the path of the event.
PATH_OF_EVENT = "$path"
_DEFAULT_METHOD = "POST"
_DEFAULT_RETRIES = 6
#: Requests of a list that are under way at the same time.
_MAX_AT_A_TIME = 8
_VARIABLES = ("event", "endpoint", "context")


class RemoteRequests(StepToDict):
    """Asks another server. The incoming request's headers are not passed on."""

    def __init__(
        self,
        url: str | None = None,
        subpath: str | None = None,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        url_expression: str | None = None,
        body_expression: str | None = None,
        return_json: bool = True,
        input_path: str | None = None,
        result_path: str | None = None,
        max_in_flight: int | None = None,
        retries: int | None = None,
        backoff_factor: float | None = None,
        timeout: float | None = None,
        name: str | None = None,
        context: Any = None,
        **kwargs: Any,
    ) -> None:
        """`url`: an address, or the name of a function of which the context knows it; `subpath` follows it.

        `url_expression`, `body_expression`: of Python, over `event` (the body), `endpoint` (the url without a slash
        at its end) and `context`. `return_json`: the answer is decoded, else it is bytes. `retries`: 6 by default.
        `timeout`: seconds for each attempt.
        """
        if not url and not url_expression:
            raise ValueError(f"step {name or type(self).__name__} needs url or url_expression")
        self.name = name
        self.context = context
        self.url = url
        self.subpath = subpath
        self.method = method
        self.headers = headers
        self.url_expression = url_expression
        self.body_expression = body_expression
        self.return_json = return_json
        self.max_in_flight = max_in_flight
        self.retries = _DEFAULT_RETRIES if retries is None else retries
        self.backoff_factor = backoff_factor
        self.timeout = timeout
        self._input_path = input_path
        self._result_path = result_path
        self._kwargs = kwargs
        self._endpoint = url or ""
        self._find_url = self._function(url_expression)
        self._find_body = self._function(body_expression)

    def post_init(self, mode: str = "sync") -> None:
        """Find the address of a function that is given by its name."""
        if self.url and "://" not in self.url and self.context is not None:
            self._endpoint = self.context.get_remote_endpoint(self.url)

    def url_of(self, event: Any, body: Any) -> str:
        """Return the address to ask about a body."""
        url = self._endpoint
        if self._find_url is not None:
            url = str(self._find_url(body, url.rstrip("/"), self.context))
        subpath = self.subpath or ""
        if subpath == PATH_OF_EVENT:
            subpath = event.path or ""
        return f"{url.rstrip('/')}/{subpath.lstrip('/')}" if subpath else url

    def ask(self, event: Any, body: Any) -> Any:
        """Return what the server answers to a body."""
        url = self.url_of(event, body)
        method = (self.method or _DEFAULT_METHOD).upper()
        headers = {**(self.headers or {}), EVENT_ID_HEADER: str(event.id)}
        if event.path:
            headers[EVENT_PATH_HEADER] = str(event.path)
        sent: bytes | None = None
        if method != "GET":
            if self._find_body is not None:
                body = self._find_body(body, self._endpoint.rstrip("/"), self.context)
            sent, is_json = _encoded(body)
            if is_json and not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        answer = call(
            method,
            url,
            sent,
            headers,
            timeout_s=self.timeout,
            retries=self.retries,
            backoff_factor=self.backoff_factor,
        )
        return self._decoded(answer, url)

    def _decoded(self, answer: Answer, url: str) -> Any:
        if not self.return_json:
            return answer.body
        if not answer.body:
            return None
        try:
            return from_json(answer.body)
        except ValueError as error:
            raise HttpCallError(
                f"{url} answered with {answer.headers.get('content-type', 'no content type')}, "
                f"which is not JSON ({error}): return_json=False takes any bytes"
            ) from error

    def _function(self, text: str | None) -> Callable[..., Any] | None:
        if not text:
            return None
        return expression(text, _VARIABLES, self.name or type(self).__name__)


class RemoteStep(RemoteRequests):
    """Sends the body to an address and passes on the answer.

    The options are those of RemoteRequests. In a flow of engine async up to `max_in_flight` events (1 by default) are
    under way; answers go on in the order of their events.
    """

    _CLASS_NAME = "mlrun.serving.remote.RemoteStep"

    def do_event(self, event: Any) -> Any:
        answer = self.ask(event, get_path(event.body, self._input_path))
        event.body = put_path(event.body, self._result_path, answer)
        return event


class BatchHttpRequests(RemoteRequests):
    """The answers to a list's members, in their order, asked `max_in_flight` (8 by default) at a time.

    The options are those of RemoteRequests; expressions are over a member as `event`. One that fails fails the step.
    """

    _CLASS_NAME = "mlrun.serving.remote.BatchHttpRequests"

    def do_event(self, event: Any) -> Any:
        members = get_path(event.body, self._input_path)
        if not isinstance(members, list | tuple):
            raise TypeError(
                f"step {self.name}: the body must be a list, but is of type {type(members).__name__}"
            )
        event.body = put_path(event.body, self._result_path, self._ask_all(event, members))
        return event

    def _ask_all(self, event: Any, members: Any) -> list[Any]:
        if len(members) < 2:
            return [self.ask(event, member) for member in members]
        from concurrent.futures import ThreadPoolExecutor

        at_a_time = min(self.max_in_flight or _MAX_AT_A_TIME, len(members))
        with ThreadPoolExecutor(at_a_time, "mlrun-requests") as pool:
            asked = [pool.submit(self.ask, event, member) for member in members]
            try:
                return [future.result() for future in asked]
            except BaseException:
                # Those that were not begun are not asked any more.
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _encoded(body: Any) -> tuple[bytes | None, bool]:
    """Return (the bytes to send, whether they are JSON that was made here)."""
    if body is None:
        return None, False
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), False
    if isinstance(body, str):
        return body.encode(), False
    return to_json(body, "keep"), True
