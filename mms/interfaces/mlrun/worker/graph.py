"""A flow, or a router of the user's, as one model of a worker: its models are asked through the front."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mms.bodies.json_text import from_json, to_json
from mms.interfaces.mlrun.graph.graph_document import GraphModel
from mms.interfaces.mlrun.load import ServingLoad
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import Response
from mms.interfaces.mlrun.model.running import JSON_TYPE, is_json_type
from mms.interfaces.mlrun.worker.initializer import namespace_of, run_initializer
from mms.wire import Load
from mms.worker.calls import CallAnswer, CallFailed, caller

_EVENT_ID = "MLRUN-EVENT-ID"

Call = Callable[..., CallAnswer]


class ModelFailed(Exception):
    """A model that was asked answered with an error. Its text is told on under the name that it had there."""

    error_status_code = 500


def make_graph(load: Load, serving: ServingLoad, context: GraphContext) -> GraphModel:
    """Return the graph that a load has, not yet loaded. Its classes are looked for in the handler's module.

    Raises GraphError, and whatever the module raises.
    """
    if load.calls:
        context.call_model = call_with(caller.call)
    return GraphModel(
        serving.graph,
        context,
        namespace_of(load),
        lambda graph: run_initializer(load, serving, context, graph),
        load.calls,
    )


def call_with(call: Call) -> Callable[[str, str, Any], Any]:
    """Return how a graph asks the model of a key: (key, operation, event) -> the answer's value, or a Response.

    `call` is `Caller.call`.
    """

    def call_model(key: str, operation: str, event: Any) -> Any:
        body = event.body
        content_type = getattr(event, "content_type", None) or ""
        if body is None:
            body = b""
        elif isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes | bytearray | memoryview):
            body, content_type = to_json(body, "keep"), JSON_TYPE
        event_id = str(event.id)
        try:
            answer = call(
                key,
                body,
                operation=operation,
                method=event.method or "POST",
                content_type=content_type,
                headers=[(_EVENT_ID, event_id)],
                request_id=event_id,
                timeout_s=_left_s(event),
            )
        except CallFailed as error:
            raise _failure(503, f"CallFailed: {error}") from None
        return _value_of(answer)

    return call_model


def _value_of(answer: CallAnswer) -> Any:
    if answer.error or answer.status >= 400:
        text = answer.body.decode("utf-8", "replace")
        raise _failure(answer.status, f"{answer.error}: {text}" if answer.error else text)
    content_type = answer.headers.get("content-type", "")
    if answer.status == 200 and is_json_type(content_type):
        return from_json(answer.body)
    return Response(body=answer.body, content_type=content_type, status_code=answer.status)


def _failure(status: int, text: str) -> ModelFailed:
    name, colon, message = text.partition(": ")
    if not colon or not name.isidentifier():
        name, message = ModelFailed.__name__, text
    kind = type(name, (ModelFailed,), {"error_status_code": status, "__module__": __name__})
    error: ModelFailed = kind(message)
    return error


def _left_s(event: Any) -> float | None:
    """Return what is left of the time that the request has; None where it has no limit."""
    deadline_s = getattr(event, "deadline_s", None)
    return None if deadline_s is None else max(deadline_s - time.monotonic(), 0.001)
