"""The operation `send-feedback`: strictly read into protobuf, whatever it came as."""

from __future__ import annotations

from typing import Any

from mms.interfaces.seldon.codec.json_decoding import check_feedback
from mms.interfaces.seldon.codec.messages import Feedback
from mms.interfaces.seldon.codec.payload import dump_json, encode_proto_bytes
from mms.interfaces.seldon.components.calls import Call, Surroundings
from mms.interfaces.seldon.components.feedback import (
    FeedbackParts,
    encode_feedback_json,
    feedback_of_json,
    feedback_parts,
    json_of_message,
    message_of_json,
)
from mms.interfaces.seldon.components.raw_answers import is_message
from mms.interfaces.seldon.components.results import Result, result_of
from mms.interfaces.seldon.components.signatures import feedback_call
from mms.interfaces.seldon.errors import is_not_implemented
from mms.interfaces.seldon.unit import Unit


class FeedbackCall(Call):
    """Counts the reward, then asks the hooks; a component without any has an empty answer."""

    request_class = "Feedback"

    def __init__(self, operation: str, surroundings: Surroundings) -> None:
        super().__init__(operation, surroundings)
        hook = self.find_hook()
        self._hook = None if hook is None else feedback_call(hook, self._is_strict)

    def answer_json(self, content: Any, unit: Unit) -> tuple[int, bytes]:
        if not self._is_strict:
            check_feedback(content)
        feedback = feedback_of_json(content)
        message = self._whole(feedback, unit)
        if message is not None:
            return 200, dump_json(json_of_message(message), self._is_strict)
        return 200, self._typed(feedback, unit, False)

    def answer_proto(self, body: bytes | bytearray, unit: Unit) -> bytes:
        feedback = Feedback.FromString(bytes(body))
        message = self._whole(feedback, unit)
        if message is not None:
            return bytes(message.SerializeToString())
        return self._typed(feedback, unit, True)

    def _whole(self, feedback: Any, unit: Unit) -> Any:
        """The message that a legacy hook or a raw one answers with; None where there is none."""
        self._additions.note_reward(feedback.reward, unit)
        hook = self._raw_json
        if hook is None:
            return None
        if hook.is_legacy:
            if hook.name.endswith("_rest"):
                from google.protobuf import json_format

                return message_of_json(hook.call(json_format.MessageToJson(feedback)))
            return message_of_json(hook.call(feedback))
        try:
            returned = hook.call(feedback)
        except Exception as error:
            if is_not_implemented(error):
                return None
            raise
        if not self._is_strict and (returned is None or isinstance(returned, dict)):
            returned = message_of_json(returned)
        if not is_message(returned):
            raise TypeError(
                f"{hook.name} returned {type(returned).__name__} instead of a SeldonMessage"
            )
        self._additions.note_raw_proto(returned, self.operation, unit)
        return returned

    def _typed(self, feedback: Any, unit: Unit, is_proto: bool) -> bytes:
        parts = feedback_parts(feedback, unit.routing_id, self._is_strict)
        result = self._run(parts)
        meta = self._additions.meta(self.operation, unit, parts.features, result, None, parts.puid)
        data = [] if result.data is None else result.data
        names = result.class_names(self._class_names)
        if is_proto:
            return encode_proto_bytes(data, parts.form, names, meta)
        message = encode_feedback_json(data, parts.form, names, meta)
        return dump_json(message, self._is_strict)

    def _run(self, parts: FeedbackParts) -> Result:
        if self._hook is not None:
            try:
                return result_of(
                    self._hook(
                        parts.features, parts.names, parts.reward, parts.truth, parts.routing
                    )
                )
            except Exception as error:
                if not is_not_implemented(error):
                    raise
        return Result(None, None, [], True)
