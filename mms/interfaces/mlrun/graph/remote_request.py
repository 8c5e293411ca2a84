"""What the steps that call other servers have in common: their options, and a request and an answer of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.bodies.json_text import from_json, to_json
from mms.interfaces.mlrun.graph.lookup import expression
from mms.interfaces.mlrun.graph.step_dict import StepToDict
from mms.interfaces.mlrun.http_call import Answer, HttpCallError, call

EVENT_ID_HEADER = "MLRUN-EVENT-ID"
EVENT_PATH_HEADER = "MLRUN-EVENT-PATH"
#: As `subpath`: the path of the event.
PATH_OF_EVENT = "$path"
_DEFAULT_METHOD = "POST"
_DEFAULT_RETRIES = 6
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
        """The address to ask about a body."""
        url = self._endpoint
        if self._find_url is not None:
            url = str(self._find_url(body, url.rstrip("/"), self.context))
        subpath = self.subpath or ""
        if subpath == PATH_OF_EVENT:
            subpath = event.path or ""
        return f"{url.rstrip('/')}/{subpath.lstrip('/')}" if subpath else url

    def ask(self, event: Any, body: Any) -> Any:
        """What the server answers to a body."""
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


def _encoded(body: Any) -> tuple[bytes | None, bool]:
    """(the bytes to send, whether they are JSON that was made here)."""
    if body is None:
        return None, False
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), False
    if isinstance(body, str):
        return body.encode(), False
    return to_json(body, "keep"), True
