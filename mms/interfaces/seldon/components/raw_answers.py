"""The answers of hooks that return whole messages: sent as they are."""

from __future__ import annotations

from typing import Any

from mms.interfaces.seldon.codec.payload import dump_json
from mms.interfaces.seldon.components.additions import Additions
from mms.interfaces.seldon.unit import Unit

_PREDICT = "predict"


def json_answer(
    returned: Any, operation: str, additions: Additions | None, unit: Unit, strict: bool
) -> tuple[int, bytes]:
    """(HTTP status, JSON) of what a hook returned. `additions`: where its metrics are noted.

    The code in `status` of a prediction is the HTTP status. A protobuf message is taken too, unless `strict`.
    """
    if not strict and is_message(returned):
        from mms.interfaces.seldon.components.feedback import json_of_message

        if additions is not None and hasattr(returned, "meta"):
            additions.note_raw_proto(returned, operation, unit)
        returned = json_of_message(returned)
    elif additions is not None:
        additions.note_raw(returned, operation, unit)
    status = status_of(returned) if operation == _PREDICT else 200
    return status, dump_json(returned, strict)


def status_of(message: Any) -> int:
    """The HTTP status that a message asks for. Codes that are none, such as -1, stand for an error: 500."""
    status = message.get("status") if isinstance(message, dict) else None
    if not isinstance(status, dict) or "code" not in status:
        return 200
    code = status["code"]
    # Protobuf's default, which says nothing.
    if code == 0:
        return 200
    is_status = isinstance(code, int) and 200 <= code <= 599
    return code if is_status else 500


def proto_answer(
    returned: Any,
    hook: str,
    additions: Additions | None,
    operation: str,
    unit: Unit,
    strict: bool,
) -> bytes:
    """The serialized message that a hook returned; a dict is taken too, unless `strict`."""
    if not strict and isinstance(returned, dict):
        from mms.interfaces.seldon.components.feedback import message_of_json

        returned = message_of_json(returned)
    if not is_message(returned):
        raise TypeError(f"{hook} returned {type(returned).__name__} instead of a SeldonMessage")
    if additions is not None and hasattr(returned, "meta"):
        additions.note_raw_proto(returned, operation, unit)
    return bytes(returned.SerializeToString())


def is_message(value: Any) -> bool:
    """Whether it is a protobuf message; protobuf itself need not be installed."""
    return hasattr(value, "SerializeToString") and hasattr(value, "DESCRIPTOR")
