"""The operation `send-feedback`: strictly read into protobuf, whatever it came as."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from mms.interfaces.seldon.codec.messages import SeldonMessage
from mms.interfaces.seldon.codec.proto_payload import encode_proto_bytes
from mms.interfaces.seldon.components.calls import CallParts, HookCall
from mms.interfaces.seldon.components.feedback import feedback_parts, message_of_json
from mms.interfaces.seldon.components.formats import MessageFormat, refuse_no_message
from mms.interfaces.seldon.components.hooks import NOT_IMPLEMENTED, ask
from mms.interfaces.seldon.components.results import Result, result_of
from mms.interfaces.seldon.components.signatures import feedback_call
from mms.interfaces.seldon.unit import Unit


class FeedbackCall(HookCall):
    """Counts the reward, then asks the hooks; a component without any has an empty answer."""

    def __init__(self, operation: str, parts: CallParts) -> None:
        super().__init__(operation, parts)
        hook = self._typed_hook
        self._hook = None if hook is None else feedback_call(hook, self._is_strict)

    def answer(self, messages: MessageFormat, content: Any, unit: Unit) -> tuple[int, bytes]:
        feedback = messages.feedback(content)
        message = self._whole(feedback, unit)
        if message is None:
            message = SeldonMessage.FromString(self._typed(feedback, unit))
        return 200, messages.encode_message(message)

    def _whole(self, feedback: Any, unit: Unit) -> Any:
        """Return the message that a legacy hook or a raw one answers with; None where there is none."""
        self._extras.note_reward(feedback.reward, unit)
        # Of either format: what it came as does not matter.
        raw = self._raw[False]
        if raw is None:
            return None
        if raw.is_legacy:
            is_text = raw.name.endswith("_rest")
            return message_of_json(
                raw.call(json_format.MessageToJson(feedback) if is_text else feedback)
            )
        returned = raw.ask(feedback)
        if returned is NOT_IMPLEMENTED:
            return None
        if not self._is_strict and (returned is None or isinstance(returned, dict)):
            returned = message_of_json(returned)
        refuse_no_message(returned, raw.name)
        self._extras.note_raw_proto(returned, self.operation, unit)
        return returned

    def _typed(self, feedback: Any, unit: Unit) -> bytes:
        parts = feedback_parts(feedback, unit.routing_id, self._is_strict)
        returned = NOT_IMPLEMENTED
        if self._hook is not None:
            returned = ask(
                self._hook, parts.features, parts.names, parts.reward, parts.truth, parts.routing
            )
        is_absent = returned is NOT_IMPLEMENTED
        result = Result(None, None, [], True) if is_absent else result_of(returned)
        meta = self._extras.meta(self.operation, unit, parts.features, result, None, parts.puid)
        data = [] if result.data is None else result.data
        return encode_proto_bytes(data, parts.form, result.class_names(self._class_names), meta)
