"""A component: one instance of a user's class, asked by operations, over JSON and protobuf alike.

What it has and how it is called is decided when it is made; a request only follows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from mms.interfaces.seldon.codec.body import read_json_body, read_undecoded_body
from mms.interfaces.seldon.codec.json_text import load_json
from mms.interfaces.seldon.components.calls import (
    AggregateCall,
    Call,
    CallParts,
    DataCall,
    RouteCall,
)
from mms.interfaces.seldon.components.description_calls import HealthCall, MetadataCall
from mms.interfaces.seldon.components.flask_app import FlaskApp
from mms.interfaces.seldon.components.formats import (
    JSON_HEADERS,
    PROTO_TYPE,
    JsonFormat,
    MessageFormat,
    ProtoFormat,
)
from mms.interfaces.seldon.components.hooks import OwnHooks
from mms.interfaces.seldon.components.input_checks import InputChecks
from mms.interfaces.seldon.components.request_headers import RequestHeaders
from mms.interfaces.seldon.components.results import class_names_of
from mms.interfaces.seldon.components.tags_and_metrics import TagsAndMetrics
from mms.interfaces.seldon.errors import INTERNAL_ERROR, SeldonMicroserviceException, error_answer
from mms.interfaces.seldon.unit import Unit, Units

_PASSTHROUGH = "PAYLOAD_PASSTHROUGH"
_PREDICT = "predict"
_FEEDBACK = "send-feedback"
_DATA_CALLS: dict[str, Callable[[str, CallParts], Call]] = {
    "transform-input": DataCall,
    "transform-output": DataCall,
    "route": RouteCall,
    "aggregate": AggregateCall,
}
_OPERATIONS = (_PREDICT, *_DATA_CALLS, _FEEDBACK, "health-status", "metadata")
#: Bodies of these types without a query need no look at the rules for forms.
_JSON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8"))
_PROTO_TYPE = PROTO_TYPE.encode()
#: Of google.protobuf.message, which is not imported before it is needed.
_DECODE_ERROR = "DecodeError"
#: What Python misses where the package protobuf is not installed.
_PROTOBUF = ("google", "google.protobuf")


class Request(NamedTuple):
    """What a client sent: an operation, and the content type, query and body as they came.

    `headers`: its header lines, names and values by turns.
    """

    operation: str
    content_type: bytes
    query: bytes
    body: bytes | bytearray
    unit: Unit
    headers: bytes | bytearray = b""


class Answer(NamedTuple):
    """`error` is what a hook or a message raised, None for an answer of 200 and those that hooks made themselves."""

    status: int
    headers: dict[str, str]
    body: bytes
    error: Exception | None = None


class Component:
    """Answers requests. Owned by the thread that runs them."""

    def __init__(
        self,
        instance: Any,
        metadata: MetadataCall,
        units: Units,
        *,
        is_strict: bool = False,
        flask_app: FlaskApp | None = None,
        inputs: InputChecks | None = None,
    ) -> None:
        """`instance` has loaded: what it has now is what counts. `flask_app`: gives its hooks the request.

        `inputs`: checks what requests bring.
        """
        hooks = OwnHooks(instance)
        self._headers = RequestHeaders()
        self._extras = TagsAndMetrics(hooks, self._headers, is_strict)
        parts = self._parts = CallParts(
            hooks,
            self._extras,
            class_names_of(instance, hooks),
            is_strict,
            self._headers,
            inputs,
        )
        self._instance = instance
        self._is_strict = is_strict
        self._flask_app = flask_app
        self._json, self._proto = JsonFormat(is_strict), ProtoFormat(is_strict)
        self._predict = DataCall(_PREDICT, parts)
        calls = (self._predict, HealthCall(parts), metadata)
        self._calls: dict[str, Call] = {call.operation: call for call in calls}
        for operation, make in _DATA_CALLS.items():
            self._calls[operation] = make(operation, parts)
        # Bodies of predictions go to the hook as they are, and its results to the client.
        self._passes_through = os.environ.get(_PASSTHROUGH, "").lower() in ("1", "t", "true")
        self.units = units

    def __repr__(self) -> str:
        return f"<Component of {type(self._instance).__name__}>"

    @property
    def joinable_call(self) -> DataCall | None:
        """The one whose rows may be joined; None where a hook gets whole messages, or what belongs to one request."""
        is_for_one = self._predict.has_raw or self._predict.takes_headers
        if is_for_one or self._passes_through or self._flask_app is not None:
            return None
        return self._predict

    def take_series(self) -> list[dict[str, Any]]:
        """Return the updates of Prometheus series since the last time."""
        return self._extras.take_series()

    def answer(self, request: Request) -> Answer:
        """Never raises an Exception but MemoryError."""
        self._headers.block = request.headers
        if self._flask_app is None:
            return self._answer(request)
        operation, content_type, query, body, _, _ = request
        headers = self._headers.read()
        with self._flask_app.request_context(operation, content_type, query, body, headers):
            return self._answer(request)

    def _answer(self, request: Request) -> Answer:
        operation, content_type, query, body, unit, _ = request
        messages = self.format_of(request)
        try:
            if self._passes_through and operation == _PREDICT and not messages.is_proto:
                undecoded = read_undecoded_body(content_type, query, body)
                status, found = self._predict.answer_undecoded(messages, undecoded, unit)
            else:
                call = self._calls.get(operation) or self._feedback_call(operation)
                content = self.content_of(request) if call.takes_message else None
                status, found = call.answer(messages, content, unit)
            return Answer(status, messages.headers, found)
        except MemoryError:
            raise
        except Exception as error:
            return self.failure(request, error)

    def predict_value(self, value: Any, names: Any) -> tuple[Any, dict[str, Any]]:
        """Return what `predict` makes of a value that came in no message of Seldon's, and the tags that go with it.

        Raises whatever hooks raise, and SeldonMicroserviceException. A hook for whole messages gets one of JSON.
        """
        self._headers.block = b""
        call, unit = self._predict, self.units.own
        if self._flask_app is None:
            return call.predict_value(value, names, unit, self._json)
        with self._flask_app.request_context(_PREDICT, b"", b"", b"", {}):
            return call.predict_value(value, names, unit, self._json)

    def ask(self, operation: str, content: Any, *, is_proto: bool) -> bytes:
        """Return the answer to decoded JSON, or to a serialized message.

        Raises whatever hooks raise, and SeldonMicroserviceException.
        """
        call = self._calls.get(operation) or self._feedback_call(operation)
        messages = self._proto if is_proto else self._json
        return call.answer(messages, content, self.units.own)[1]

    def format_of(self, request: Request) -> MessageFormat:
        return self._proto if request.content_type == _PROTO_TYPE else self._json

    def content_of(self, request: Request) -> Any:
        """Return the body in protobuf, or the JSON that a request carries. Raises SeldonMicroserviceException."""
        _, content_type, query, body, _, _ = request
        if content_type == _PROTO_TYPE:
            return body
        if not query and content_type in _JSON_TYPES:
            try:
                content = load_json(body)
            except ValueError:
                content = None
            if content is not None:
                return content
        return read_json_body(content_type, query, body, strict=self._is_strict)

    def failure(self, request: Request, error: Exception) -> Answer:
        """Return the answer for an exception: the component's own handler's, or Seldon's."""
        if type(error).__name__ == _DECODE_ERROR and request.content_type == _PROTO_TYPE:
            error = SeldonMicroserviceException(f"The body is not a message in protobuf: {error}")
        elif isinstance(error, ModuleNotFoundError) and error.name in _PROTOBUF:
            error = SeldonMicroserviceException(
                f"{request.operation} needs protobuf here, which is not installed: "
                "pip install 'marserve[seldon]'",
                status_code=500,
                reason=INTERNAL_ERROR,
            )
        if self._flask_app is not None and request.content_type != _PROTO_TYPE:
            try:
                handled = self._flask_app.handle(error)
            except Exception as its_error:
                error = its_error
            else:
                if handled is not None:
                    return Answer(handled.status, handled.headers, handled.body)
        found = error_answer(error)
        status = found.status if 200 <= found.status <= 599 else 500
        return Answer(status, JSON_HEADERS, found.body(), error)

    def _feedback_call(self, operation: str) -> Call:
        """Made when it is first asked: it needs protobuf, which takes time and memory."""
        if operation != _FEEDBACK:
            raise SeldonMicroserviceException(
                f"Unknown operation {operation}; known are {', '.join(_OPERATIONS)}", 404
            )
        from mms.interfaces.seldon.components.feedback_call import FeedbackCall

        call = self._calls[operation] = FeedbackCall(operation, self._parts)
        return call
