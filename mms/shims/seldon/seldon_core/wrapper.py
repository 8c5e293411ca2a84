"""A component behind a Flask application, as users' own tests ask for it. The server has nothing to do with this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mms.seldon.component import Component, Request
from mms.seldon.description_calls import MetadataCall
from mms.seldon.flask_app import BLUEPRINT, FlaskApp
from mms.seldon.hooks import OwnHooks
from mms.seldon.unit import UnitNames, Units

if TYPE_CHECKING:
    from flask import Flask

_VERSIONS = ("v0.1", "v1.0")
_OPERATIONS = ("predict", "transform-input", "transform-output", "route", "aggregate")
_BOTH = ("GET", "POST")

__all__ = ["get_rest_microservice"]


def get_rest_microservice(user_model: Any, seldon_metrics: Any = None) -> Flask:
    """The application, for its `test_client()`. `user_model` has loaded; `seldon_metrics` is taken and left alone.

    Raises ImportError where Flask is not installed.
    """
    from flask import Flask, Response, request

    blueprint = getattr(user_model, BLUEPRINT, None)
    units = Units(UnitNames.of_environment(), False)
    component = Component(
        user_model,
        MetadataCall(OwnHooks(user_model), False),
        units,
        flask_app=None if blueprint is None else FlaskApp(blueprint),
    )
    app = Flask(__name__)

    def serve(operation: str) -> Response:
        answer = component.answer(
            Request(
                operation,
                (request.content_type or "").encode(),
                request.query_string,
                _body(request),
                units.own,
            )
        )
        return Response(answer.body, answer.status, answer.headers)

    def add(path: str, operation: str, methods: tuple[str, ...]) -> None:
        app.add_url_rule(
            path, path, lambda: serve(operation), methods=methods, strict_slashes=False
        )

    for operation in (*_OPERATIONS, "send-feedback"):
        add(f"/{operation}", operation, _BOTH)
    for version in _VERSIONS:
        add(f"/api/{version}/predictions", "predict", ("POST",))
        add(f"/api/{version}/feedback", "send-feedback", ("POST",))
    add("/health/status", "health-status", ("GET",))
    add("/metadata", "metadata", ("GET",))
    app.add_url_rule("/health/ping", "/health/ping", lambda: "pong")
    return app


def _body(request: Any) -> bytes:
    """The body as it came. Asked for first, since reading the form would leave nothing of it."""
    body: bytes = request.get_data(cache=True, parse_form_data=False)
    return body
