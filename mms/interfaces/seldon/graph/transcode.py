"""SeldonMessages in the form that a remote node takes: JSON or protobuf."""

from __future__ import annotations

from typing import Any

from mms.errors import BadRequest, InternalServerError
from mms.interfaces.seldon.graph.message import JSON, PROTOBUF, Message, dumps, parse, read_protobuf
from mms.interfaces.seldon.graph.node import Step


def to_protobuf(message: Message, step: Step) -> Message:
    """Return a message in protobuf. Raises BadRequest for a JSON document that is no message of Seldon's."""
    if message.is_protobuf:
        return message
    from google.protobuf import json_format

    document = parse(message)
    if step is Step.AGGREGATE and isinstance(document, list):
        document = {"seldonMessages": document}
    try:
        found = json_format.ParseDict(document, _class_of(step)())
    except json_format.ParseError as error:
        raise BadRequest(f"The message is not one of Seldon's: {error}") from None
    return Message(found.SerializeToString(), PROTOBUF)


def to_json(message: Message, step: Step) -> Message:
    """Return a message in JSON. Raises BadRequest for bytes that are no message of Seldon's."""
    if not message.is_protobuf:
        return message
    return Message(_json_of(message, _class_of(step)), JSON)


def reply_in_form_of(asked: Message, reply: Message) -> Message:
    """Return a node's reply in the form of what was asked. Raises InternalServerError for one that cannot be read."""
    if reply.is_protobuf == asked.is_protobuf:
        return reply
    from mms.interfaces.seldon.codec.messages import SeldonMessage

    try:
        if reply.is_protobuf:
            return reply._replace(body=_json_of(reply, SeldonMessage), content_type=JSON)
        found = to_protobuf(reply, Step.PREDICT)
    except BadRequest as error:
        raise InternalServerError(f"A node's reply cannot be read: {error.message}") from None
    return reply._replace(body=found.body, content_type=PROTOBUF)


def _class_of(step: Step) -> Any:
    from mms.interfaces.seldon.codec.messages import Feedback, SeldonMessage, SeldonMessageList

    return {Step.AGGREGATE: SeldonMessageList, Step.SEND_FEEDBACK: Feedback}.get(
        step, SeldonMessage
    )


def _json_of(message: Message, message_class: Any) -> bytes:
    from google.protobuf import json_format

    return dumps(json_format.MessageToDict(read_protobuf(message_class, message.body)))
