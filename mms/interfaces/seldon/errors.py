"""What a component may raise, and the JSON a client gets for it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

BAD_DATA = "MICROSERVICE_BAD_DATA"
BAD_METADATA = "MICROSERVICE_BAD_METADATA"
BAD_METRIC = "MICROSERVICE_BAD_METRIC"
BAD_PARAMETER = "MICROSERVICE_BAD_PARAMETER"
INTERNAL_ERROR = "MICROSERVICE_INTERNAL_ERROR"


class SeldonMicroserviceException(Exception):
    """An error with an HTTP status (`status_code`, 400 unless given), a message and a reason for the client.

    `payload` is kept and never sent, as in Seldon's package.
    """

    status_code = 400

    def __init__(
        self,
        message: Any,
        status_code: int | None = None,
        payload: Any = None,
        reason: str = BAD_DATA,
    ) -> None:
        super().__init__(message)
        self.message = message
        if status_code is not None:
            self.status_code = status_code
        self.payload = payload
        self.reason = reason

    def to_dict(self) -> dict[str, Any]:
        return error_dict(self.message, self.reason)


class SeldonNotImplementedError(SeldonMicroserviceException):
    """Raised by the hooks of the base class: the component has no such hook of its own."""

    def __init__(self, message: Any = "") -> None:
        super().__init__(message)


class ErrorAnswer(NamedTuple):
    """An error as a client gets it."""

    status: int
    message: str
    reason: str

    def body(self) -> bytes:
        return error_body(self.message, self.reason)


def error_answer(error: BaseException) -> ErrorAnswer:
    """Return the answer for an exception: that of Seldon's package is known by its members, any other is a 500."""
    status = getattr(error, "status_code", None)
    if callable(getattr(error, "to_dict", None)) and isinstance(status, int):
        message = getattr(error, "message", None)
        reason = getattr(error, "reason", None)
        return ErrorAnswer(
            status,
            str(error) if message is None else str(message),
            str(reason or BAD_DATA),
        )
    return ErrorAnswer(500, str(error), INTERNAL_ERROR)


def is_not_implemented(error: BaseException) -> bool:
    """Return whether it is SeldonNotImplementedError, ours or that of Seldon's own package."""
    return isinstance(error, SeldonNotImplementedError) or any(
        base.__name__ == "SeldonNotImplementedError" for base in type(error).__mro__
    )


def error_dict(message: Any, reason: str, code: int = -1) -> dict[str, Any]:
    return {"status": {"status": 1, "info": message, "code": code, "reason": reason}}


def error_body(message: str, reason: str, code: int = -1) -> bytes:
    """Return the JSON of an error: compact, ASCII, keys sorted, a line feed at the end."""
    content = error_dict(message, reason, code)
    text = json.dumps(content, separators=(",", ":"), sort_keys=True, default=str)
    return text.encode("ascii") + b"\n"
