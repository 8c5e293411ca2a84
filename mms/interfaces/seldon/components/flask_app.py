"""Flask, for components that count on Seldon's wrapper being an application of it.

Their hooks find the request in `flask.request`, and the blueprint `model_error_handler` answers their exceptions.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from mms.interfaces.seldon.errors import SeldonMicroserviceException

BLUEPRINT = "model_error_handler"


class HandledError(NamedTuple):
    """A blueprint's response."""

    status: int
    headers: dict[str, str]
    body: bytes


class FlaskApp:
    """An application of Flask that serves nothing: it makes the contexts of requests."""

    def __init__(self, blueprint: Any = None) -> None:
        """Raises ImportError without Flask, and what Flask raises for what is no blueprint."""
        try:
            from flask import Flask
        except ImportError as error:
            raise ImportError(
                f"{BLUEPRINT} is a blueprint of Flask, which is not installed: pip install flask"
            ) from error
        self._app = Flask("mms.seldon")
        if blueprint is not None:
            self._app.register_blueprint(blueprint)
        # As in Seldon's wrapper, these two are not the blueprint's to handle.
        for kind in (Exception, SeldonMicroserviceException):
            self._app.register_error_handler(kind, _leave)

    def __repr__(self) -> str:
        return f"<FlaskApp {list(self._app.blueprints)}>"

    def request_context(
        self,
        operation: str,
        content_type: bytes,
        query: bytes,
        body: bytes | bytearray,
        headers: Mapping[str, str],
    ) -> AbstractContextManager[object]:
        """Return a context in which `flask.request` is the client's request, below the route of the operation."""
        query = query.removeprefix(b"?")
        environ = {
            # What came in the query came by GET.
            "REQUEST_METHOD": "GET" if query and not body else "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": f"/{operation}",
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
            "CONTENT_TYPE": content_type.decode("latin-1"),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        context: AbstractContextManager[object] = self._app.request_context(environ)
        return context

    def handle(self, error: Exception) -> HandledError | None:
        """Return the blueprint's response to an exception; None where no handler is for it.

        Call it in the context of the request. Raises what the handler raises.
        """
        found: Any = self._app.handle_user_exception(error)
        if found is error:
            return None
        response = self._app.make_response(found)
        return HandledError(
            response.status_code, dict(response.headers.items()), response.get_data()
        )


def _leave(error: Exception) -> Any:
    return error
