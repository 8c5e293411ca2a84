"""The two formats of messages, JSON and protobuf: one class each, which reads requests and writes answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mms.interfaces.seldon.codec.array_answers import array_answer
from mms.interfaces.seldon.codec.forms import ClassNames, Form, Incoming
from mms.interfaces.seldon.codec.json_decoding import (
    check_base64,
    check_feedback,
    check_json,
    decode_aggregate_json,
    decode_json,
    messages_of_json,
)
from mms.interfaces.seldon.codec.json_encoding import encode_json
from mms.interfaces.seldon.codec.json_text import dump_json
from mms.interfaces.seldon.components.hooks import RawHook

if TYPE_CHECKING:
    from mms.interfaces.seldon.components.tags_and_metrics import TagsAndMetrics
    from mms.interfaces.seldon.unit import Unit

JSON_TYPE = "application/json"
PROTO_TYPE = "application/x-protobuf"
JSON_HEADERS = {"Content-Type": JSON_TYPE}
PROTO_HEADERS = {"Content-Type": PROTO_TYPE}


class MessageFormat(ABC):
    """Reading raises SeldonMicroserviceException for what is no message; where strict, what Seldon's wrapper raises."""

    is_proto: ClassVar[bool]
    headers: ClassVar[dict[str, str]]

    def __init__(self, is_strict: bool) -> None:
        self._is_strict = is_strict

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{', strict' if self._is_strict else ''}>"

    @abstractmethod
    def decode(self, content: Any) -> Incoming:
        """Return what a message brings."""

    @abstractmethod
    def decode_all(self, content: Any) -> list[Incoming]:
        """Return what the messages of an aggregate request bring."""

    def check(self, content: Any) -> None:
        """Raise what is wrong with a message that no hook will get."""
        self.decode(content)

    def check_all(self, content: Any) -> None:
        """Check an aggregate request, as `check` does."""
        self.decode_all(content)

    @abstractmethod
    def encode(self, data: Any, form: Form, names: ClassNames, meta: dict[str, Any]) -> bytes:
        """Return the message of a result, its array in the form that the request had."""

    @abstractmethod
    def raw_argument(self, content: Any, raw: RawHook, message_class: str) -> Any:
        """Return the message as a hook for whole ones takes it. `message_class`: its name in protobuf."""

    @abstractmethod
    def raw_answer(
        self, returned: Any, hook: str, operation: str, extras: TagsAndMetrics | None, unit: Unit
    ) -> tuple[int, bytes]:
        """Return (HTTP status, message) for what such a hook returned. `extras`: where its metrics are noted."""

    @abstractmethod
    def feedback(self, content: Any) -> Any:
        """Return the protobuf Feedback that a request is."""

    @abstractmethod
    def encode_message(self, message: Any) -> bytes:
        """Return a protobuf message in this format."""


class JsonFormat(MessageFormat):
    """Messages that are decoded already."""

    is_proto = False
    headers = JSON_HEADERS

    def decode(self, content: Any) -> Incoming:
        return decode_json(content, self._is_strict)

    def decode_all(self, content: Any) -> list[Incoming]:
        return decode_aggregate_json(content, self._is_strict)

    def check(self, content: Any) -> None:
        check_json(content, self._is_strict)

    def check_all(self, content: Any) -> None:
        for part in messages_of_json(content, self._is_strict):
            check_json(part, self._is_strict)

    def encode(self, data: Any, form: Form, names: ClassNames, meta: dict[str, Any]) -> bytes:
        if type(data) is np.ndarray:
            answer = array_answer(data, form, names, meta, self._is_strict)
            if answer is not None:
                return answer
        return dump_json(encode_json(data, form, names, meta), self._is_strict)

    def raw_argument(self, content: Any, raw: RawHook, message_class: str) -> Any:
        """Return a content as it is, or as the message that the hook's argument is annotated with."""
        if raw.message_class is None or self._is_strict:
            return content
        from mms.interfaces.seldon.components.feedback import message_of_class

        if isinstance(content, list) and raw.message_class == "SeldonMessageList":
            content = {"seldonMessages": content}
        _check_base64_of(content, raw.message_class)
        return message_of_class(content, raw.message_class)

    def raw_answer(
        self, returned: Any, hook: str, operation: str, extras: TagsAndMetrics | None, unit: Unit
    ) -> tuple[int, bytes]:
        """Return a raw hook's answer. A prediction's `status` has the HTTP status; protobuf is taken unless strict."""
        if not self._is_strict and is_message(returned):
            from mms.interfaces.seldon.components.feedback import json_of_message

            if extras is not None and hasattr(returned, "meta"):
                extras.note_raw_proto(returned, operation, unit)
            returned = json_of_message(returned)
        elif extras is not None:
            extras.note_raw(returned, operation, unit)
        status = status_of(returned) if operation == "predict" else 200
        return status, dump_json(returned, self._is_strict)

    def feedback(self, content: Any) -> Any:
        from mms.interfaces.seldon.components.feedback import feedback_of_json

        if not self._is_strict:
            check_feedback(content)
        return feedback_of_json(content)

    def encode_message(self, message: Any) -> bytes:
        from mms.interfaces.seldon.components.feedback import json_of_message

        return dump_json(json_of_message(message), self._is_strict)


class ProtoFormat(MessageFormat):
    """Serialized messages. Protobuf is an extra: it is imported when the first of them comes."""

    is_proto = True
    headers = PROTO_HEADERS

    def decode(self, content: Any) -> Incoming:
        from mms.interfaces.seldon.codec.proto_payload import decode_proto_bytes

        return decode_proto_bytes(content, self._is_strict)

    def decode_all(self, content: Any) -> list[Incoming]:
        from mms.interfaces.seldon.codec.proto_payload import decode_aggregate_proto_bytes

        return decode_aggregate_proto_bytes(content, self._is_strict)

    def encode(self, data: Any, form: Form, names: ClassNames, meta: dict[str, Any]) -> bytes:
        from mms.interfaces.seldon.codec.proto_payload import encode_proto_bytes

        return encode_proto_bytes(data, form, names, meta)

    def raw_argument(self, content: Any, raw: RawHook, message_class: str) -> Any:
        from mms.interfaces.seldon.codec.messages import CLASSES

        return CLASSES[message_class].FromString(bytes(content))

    def raw_answer(
        self, returned: Any, hook: str, operation: str, extras: TagsAndMetrics | None, unit: Unit
    ) -> tuple[int, bytes]:
        """Return the answer of a raw hook's message. A dict is taken too, unless strict."""
        if not self._is_strict and isinstance(returned, dict):
            from mms.interfaces.seldon.components.feedback import message_of_json

            returned = message_of_json(returned)
        refuse_no_message(returned, hook)
        if extras is not None and hasattr(returned, "meta"):
            extras.note_raw_proto(returned, operation, unit)
        return 200, bytes(returned.SerializeToString())

    def feedback(self, content: Any) -> Any:
        from mms.interfaces.seldon.codec.messages import Feedback

        return Feedback.FromString(bytes(content))

    def encode_message(self, message: Any) -> bytes:
        return bytes(message.SerializeToString())


def _check_base64_of(content: Any, message_class: str) -> None:
    """Raise SeldonMicroserviceException for base64 anywhere in a message that protobuf's parser would take for less."""
    if message_class == "Feedback":
        check_feedback(content)
    elif message_class == "SeldonMessageList":
        messages = content.get("seldonMessages") if isinstance(content, dict) else None
        for number, message in enumerate(messages if isinstance(messages, list) else ()):
            check_base64(message, f"seldonMessages[{number}].")
    else:
        check_base64(content)


def status_of(message: Any) -> int:
    """Return the HTTP status that a message asks for. Codes that are none, such as -1, stand for an error: 500."""
    status = message.get("status") if isinstance(message, dict) else None
    if not isinstance(status, dict) or "code" not in status:
        return 200
    code = status["code"]
    # Protobuf's default, which says nothing.
    if code == 0:
        return 200
    is_status = isinstance(code, int) and 200 <= code <= 599
    return code if is_status else 500


def is_message(value: Any) -> bool:
    """Return whether it is a protobuf message; protobuf itself need not be installed."""
    return hasattr(value, "SerializeToString") and hasattr(value, "DESCRIPTOR")


def refuse_no_message(value: Any, hook: str) -> None:
    """Raise TypeError for what a hook for whole messages returned and is none."""
    if not is_message(value):
        raise TypeError(f"{hook} returned {type(value).__name__} instead of a SeldonMessage")
