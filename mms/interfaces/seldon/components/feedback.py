"""Feedback: strictly parsed into protobuf, also where it came as JSON, and answered through it."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf import json_format

from mms.interfaces.seldon.codec.forms import Array, Form
from mms.interfaces.seldon.codec.messages import CLASSES, Feedback, SeldonMessage
from mms.interfaces.seldon.codec.proto_payload import FORMS, array_of_data
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.text.brief import brief


class FeedbackParts(NamedTuple):
    """The arguments of `send_feedback`, and what its answer needs.

    `features` and `truth` are arrays; empty where no `data` was sent. `reward` has float32's
    precision. `routing` is the branch that the named unit chose, None where it is not told.
    """

    features: Array
    names: Any
    reward: float
    truth: Array
    routing: int | None
    form: Form
    puid: str | None


def feedback_of_json(message: Any) -> Any:
    """Return the protobuf Feedback of decoded JSON.

    Raises SeldonMicroserviceException (400) for unknown members and wrong types.
    """
    return _parsed({} if message is None else message, Feedback())


def message_of_json(message: Any) -> Any:
    """Return the protobuf SeldonMessage of decoded JSON, as `feedback_of_json`."""
    return _parsed({} if message is None else message, SeldonMessage())


def message_of_class(message: Any, name: str) -> Any:
    """Return the protobuf message of a class of Seldon's, of decoded JSON. Raises as `feedback_of_json`."""
    return _parsed(message, CLASSES[name]())


def _parsed(content: Any, message: Any) -> Any:
    if not isinstance(content, dict):
        name = message.DESCRIPTOR.name
        raise SeldonMicroserviceException(
            f"Invalid JSON: a {name} is an object, not {brief(content)}"
        )
    try:
        return json_format.ParseDict(content, message)
    except json_format.ParseError as error:
        raise SeldonMicroserviceException(f"Invalid JSON: {error}") from None


def feedback_parts(feedback: Any, unit_id: str, strict: bool = False) -> FeedbackParts:
    """Return what a Feedback has for a component, whose id in `response.meta.routing` is `unit_id` (default "0")."""
    request = feedback.request
    form = Form.NONE
    if request.WhichOneof("data_oneof") == "data":
        form = FORMS.get(request.data.WhichOneof("data_oneof"), Form.NDARRAY)
    return FeedbackParts(
        array_of_data(request.data, strict),
        request.data.names,
        feedback.reward,
        array_of_data(feedback.truth.data, strict),
        feedback.response.meta.routing.get(unit_id),
        form,
        request.meta.puid or None,
    )


def json_of_message(message: Any) -> dict[str, Any]:
    """Return a protobuf message in protobuf's JSON: numbers as floats, empty lists left out."""
    content: dict[str, Any] = json_format.MessageToDict(message)
    return content
