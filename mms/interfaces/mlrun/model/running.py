"""One event, from what a client sent to what it gets: the same in the local harness and in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.bodies.json_text import from_json, to_json
from mms.interfaces.mlrun.errors import error_text, status_of, with_strict_status
from mms.interfaces.mlrun.model.event import STREAM_TRIGGERS, Response, header_of
from mms.interfaces.mlrun.model.model_server import RETRY_AFTER_S
from mms.interfaces.mlrun.model.options import DEFAULT_OPTIONS

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain"
EVENT_ID_HEADER = "MLRUN-EVENT-ID"
EVENT_PATH_HEADER = "MLRUN-EVENT-PATH"

_JSON_TYPES = ("json", JSON_TYPE)


def run_event(
    run: Callable[[Any], Any],
    event: Any,
    context: Any = None,
    *,
    default_content_type: str | None = None,
    get_body: bool = False,
) -> Any:
    """Give an event to `run`, which returns it with the answer as its body, and make that a Response.

    `run` is a graph's, router's or model's: `graph.run`, `router.do_event`, `model.do_event`. Its exceptions become
    answers, too. `get_body`: the answer as a client reads it (decoded JSON), unless it is a Response or an error.
    What cannot be written as JSON is an error of status 500.
    """
    options = getattr(context, "options", None) or DEFAULT_OPTIONS
    try:
        refusal = prepare(event, default_content_type, options.event_headers)
        if refusal is not None:
            return refusal
        answered = run(event)
        body = answered.body if hasattr(answered, "body") else answered
    except Exception as error:
        return failure(error, event, context)
    if isinstance(body, Response) or _is_response(body):
        return _written(body, event, context)
    if get_body and (not body or isinstance(body, str | bytes | bytearray) or is_stream(body)):
        return body
    response = _encoded(body, event, context)
    if get_body and response.status_code == 200:
        return from_json(response.body)
    return response


def prepare(
    event: Any, default_content_type: str | None = None, takes_path_header: bool = False
) -> Response | None:
    """Set the event's id by its header and decode its body by its content type; an answer for what is no JSON.

    `takes_path_header`: set its path by its header as well.
    """
    content_type = event.content_type = event.content_type or default_content_type or ""
    if getattr(getattr(event, "trigger", None), "kind", "") in STREAM_TRIGGERS:
        # The path is a topic's name.
        event.stream_path, event.path = event.path, "/"
    if event.headers:
        event_id = header_of(event, EVENT_ID_HEADER)
        if event_id:
            event.id = event_id
        if takes_path_header:
            event.path = header_of(event, EVENT_PATH_HEADER) or event.path
    body = event.body
    if not isinstance(body, str | bytes | bytearray):
        return None
    is_json = content_type != "" and is_json_type(content_type)
    if content_type and not is_json:
        return None
    if not body and not is_json:
        return None
    try:
        event.body = from_json(body)
    except ValueError as error:
        if is_json:
            return _text(400, f"failed to json decode event, {error}", error)
    return None


def is_json_type(content_type: str) -> bool:
    """Return whether a content type is that of JSON, with or without parameters."""
    if content_type in _JSON_TYPES:
        return True
    return content_type.partition(";")[0].strip().lower() in _JSON_TYPES


def failure(error: BaseException, event: Any, context: Any = None) -> Response:
    """Return the answer for an exception, which is logged and sent to the error stream."""
    options = getattr(context, "options", None) or DEFAULT_OPTIONS
    text = error_text(error)
    if context is not None:
        import traceback

        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        is_of_client = getattr(error, "strict_status", 500) < 500
        context.logger.error(text if is_of_client else trace.rstrip("\n"))
        context.push_error(event, f"{text}\n{trace}", source="_handler")
        if context.verbose:
            text = f"{text}\n{trace}"
    response = _text(status_of(error, options.strict_status), text, error)
    if response.status_code == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def is_stream(body: Any) -> bool:
    """Return whether an answer is to be had piece by piece."""
    return hasattr(body, "__next__") or hasattr(body, "__anext__")


def _is_response(body: Any) -> bool:
    """Return whether it is an answer with a status, ours or nuclio's."""
    return hasattr(body, "status_code") and hasattr(body, "body") and hasattr(body, "content_type")


def _written(response: Any, event: Any, context: Any) -> Any:
    """Return a Response of a class: what it carries besides text and bytes is written as JSON."""
    body = response.body
    if isinstance(body, str | bytes | bytearray) or body is None or is_stream(body):
        return response
    encoded = _encoded(body, event, context)
    if encoded.status_code != 200:
        return encoded
    response.body = encoded.body
    if response.content_type == TEXT_TYPE and encoded.content_type == JSON_TYPE:
        response.content_type = JSON_TYPE
    return response


def _encoded(body: Any, event: Any, context: Any) -> Response:
    if body is None:
        return _text(200, "")
    if isinstance(body, str):
        return _text(200, body)
    if isinstance(body, bytes | bytearray):
        return Response(body=bytes(body), content_type="application/octet-stream")
    if is_stream(body):
        return Response(body=body)
    options = getattr(context, "options", None) or DEFAULT_OPTIONS
    try:
        text = to_json(body, options.nan_policy)
    except Exception as error:
        refused = failure(with_strict_status(error, 500), event, context)
        refused.status_code = 500
        return refused
    return Response(body=text, content_type=JSON_TYPE)


def _text(status: int, text: str, error: BaseException | None = None) -> Response:
    response = Response(body=text, content_type=TEXT_TYPE, status_code=status)
    response.error = error
    return response
