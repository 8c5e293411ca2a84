"""The payload functions in the order in which a component's host calls them, for calls of `payload_cases`."""

from __future__ import annotations

import base64
from typing import Any

from mms.interfaces.seldon.codec.body import read_json_body
from mms.interfaces.seldon.codec.json_decoding import decode_aggregate_json, decode_json
from mms.interfaces.seldon.codec.json_encoding import encode_json
from mms.interfaces.seldon.codec.json_text import dump_json
from mms.interfaces.seldon.codec.messages import Feedback
from mms.interfaces.seldon.codec.proto_payload import (
    decode_aggregate_proto_bytes,
    decode_proto_bytes,
    encode_proto,
    encode_proto_bytes,
)
from mms.interfaces.seldon.components import feedback
from mms.interfaces.seldon.components.feedback import feedback_of_json
from mms.interfaces.seldon.errors import error_answer
from mms.interfaces.seldon.meta import merged_meta, response_meta
from mms.interfaces.seldon.series import series_of, validate


def rest_answer(call: dict[str, Any], component: Any, strict: bool) -> dict[str, Any]:
    try:
        body = _rest_body(call, component, strict)
    except Exception as error:
        found = error_answer(error)
        return {"status": found.status, "body": found.body().decode()}
    return {"status": 200, "body": body.decode()}


def _rest_body(call: dict[str, Any], component: Any, strict: bool) -> bytes:
    body = base64.b64decode(call["body"])
    content = read_json_body(
        call["content_type"].encode(), call["query"].encode(), body, strict=strict
    )
    operation = call["path"].removeprefix("/")
    if operation == "aggregate":
        messages = decode_aggregate_json(content, strict)
        result = component.aggregate([m.value for m in messages], [m.names for m in messages])
        meta = merged_meta(m.meta for m in messages)
        first = messages[0]
        answer_meta = _meta(component, meta, first.puid, operation)
        return dump_json(encode_json(result, first.form, _names(component), answer_meta), strict)
    if operation == "send-feedback":
        message = feedback_of_json(content)
        parts = feedback.feedback_parts(message, "0", strict)
        result = _feedback_result(component, parts)
        answer_meta = _meta(component, None, parts.puid, operation)
        names = _names(component)
        message = encode_proto(result, parts.form, names, answer_meta)
        return dump_json(feedback.json_of_message(message), strict)
    incoming = decode_json(content, strict)
    result = component.predict(incoming.value, incoming.names, meta=incoming.meta)
    answer_meta = _meta(component, incoming.meta, incoming.puid, operation)
    return dump_json(encode_json(result, incoming.form, _names(component), answer_meta), strict)


def _names(component: Any) -> Any:
    return getattr(component, "class_names", lambda: None)


def _feedback_result(component: Any, parts: feedback.FeedbackParts) -> Any:
    result = component.send_feedback(
        parts.features, parts.names, parts.reward, parts.truth, routing=parts.routing
    )
    return [] if result is None else result


def _meta(component: Any, request_meta: Any, puid: Any, operation: str) -> dict[str, Any]:
    metrics = component.metrics() if hasattr(component, "metrics") else []
    validate(metrics)
    series_of(metrics, operation, {})
    tags = component.tags() if hasattr(component, "tags") else {}
    return response_meta(request_meta, tags=tags, metrics=metrics, puid=puid)


def grpc_answer(call: dict[str, Any], component: Any, strict: bool) -> dict[str, Any]:
    try:
        return {"body": base64.b64encode(_grpc_body(call, component, strict)).decode()}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


def _grpc_body(call: dict[str, Any], component: Any, strict: bool) -> bytes:
    body = base64.b64decode(call["body"])
    if call["method"] == "Aggregate":
        messages = decode_aggregate_proto_bytes(body, strict)
        result = component.aggregate([m.value for m in messages], [m.names for m in messages])
        meta = merged_meta(m.meta for m in messages)
        answer_meta = _meta(component, meta, messages[0].puid, "aggregate")
        return encode_proto_bytes(result, messages[0].form, _names(component), answer_meta)
    if call["method"] == "SendFeedback":
        parts = feedback.feedback_parts(Feedback.FromString(body), "0", strict)
        answer_meta = _meta(component, None, parts.puid, "feedback")
        result = _feedback_result(component, parts)
        return encode_proto_bytes(result, parts.form, _names(component), answer_meta)
    incoming = decode_proto_bytes(body, strict)
    result = component.predict(incoming.value, incoming.names, meta=incoming.meta)
    answer_meta = _meta(component, incoming.meta, incoming.puid, "predict")
    return encode_proto_bytes(result, incoming.form, _names(component), answer_meta)
