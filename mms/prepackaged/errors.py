"""What these servers say about models that cannot be loaded and inputs that do not fit."""

from __future__ import annotations

from typing import Any


class ModelNotLoaded(Exception):
    """The model's folder or file is not what it should be. The message names the file and what was expected."""

    #: The message names its cause, and is shown alone.
    says_all = True


class UnfitInput(Exception):
    """The request's input does not fit the model; the client gets the message with status 400.

    Has the members by which Seldon components' own exceptions are recognised.
    """

    status_code = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def to_dict(self) -> dict[str, Any]:
        return {
            "status": {
                "status": 1,
                "info": self.message,
                "code": -1,
                "reason": "MICROSERVICE_BAD_DATA",
            }
        }
