"""A component's own answers to its exceptions: the Flask blueprint `model_error_handler`."""

from __future__ import annotations

from typing import Any, NamedTuple

from mms.seldon.errors import SeldonMicroserviceException

ATTRIBUTE = "model_error_handler"


class HandledError(NamedTuple):
    """A blueprint's response."""

    status: int
    headers: dict[str, str]
    body: bytes


class ErrorHandlers:
    """Runs the handlers in an application of Flask, with the request as they would find it there."""

    def __init__(self, blueprint: Any) -> None:
        """Raises ImportError without Flask, and what Flask raises for what is no blueprint."""
        try:
            from flask import Flask
        except ImportError as error:
            raise ImportError(
                f"{ATTRIBUTE} is a blueprint of Flask, which is not installed: pip install flask"
            ) from error
        self._app = Flask("mms.seldon")
        self._app.register_blueprint(blueprint)
        # As in Seldon's wrapper, these two are not the blueprint's to handle.
        for kind in (Exception, SeldonMicroserviceException):
            self._app.register_error_handler(kind, _leave)

    def __repr__(self) -> str:
        return f"<ErrorHandlers {self._app.blueprints}>"

    def handle(
        self, error: Exception, path: str, content_type: str, query: bytes, body: bytes
    ) -> HandledError | None:
        """The response to an exception; None where no handler is for it. Raises what the handler raises."""
        with self._app.test_request_context(
            path,
            method="POST",
            query_string=query.decode("latin-1"),
            data=body,
            content_type=content_type or None,
        ):
            found: Any = self._app.handle_user_exception(error)
            if found is error:
                return None
            response = self._app.make_response(found)
            return HandledError(
                response.status_code, dict(response.headers.items()), response.get_data()
            )


def _leave(error: Exception) -> Any:
    return error
