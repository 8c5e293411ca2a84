"""A component behind a Flask application, as users' own tests ask for it. The server has nothing to do with this."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mms.interfaces.seldon.components.component import Component, Request
from mms.interfaces.seldon.components.description_calls import MetadataCall
from mms.interfaces.seldon.components.flask_app import BLUEPRINT, FlaskApp
from mms.interfaces.seldon.components.hooks import OwnHooks
from mms.interfaces.seldon.document import document
from mms.interfaces.seldon.unit import UnitNames, Units

from . import seldon_methods, utils
from ._elsewhere import names_elsewhere

if TYPE_CHECKING:
    from flask import Flask

__getattr__ = names_elsewhere(__name__)

ANNOTATION_GRPC_MAX_MSG_SIZE = "seldon.io/grpc-max-message-size"
PRED_UNIT_ID = os.environ.get("PREDICTIVE_UNIT_ID", "0")
METRICS_ENDPOINT = os.environ.get("PREDICTIVE_UNIT_METRICS_ENDPOINT", "/metrics")
PAYLOAD_PASSTHROUGH = os.environ.get("PAYLOAD_PASSTHROUGH", "").lower() in ("1", "t", "true")

_VERSIONS = ("v0.1", "v1.0")
_OPERATIONS = ("predict", "transform-input", "transform-output", "route", "aggregate")
_BOTH = ("GET", "POST")


def get_rest_microservice(user_model: Any, seldon_metrics: Any = None) -> Flask:
    """The application, for its `test_client()`. `user_model` has loaded; `seldon_metrics` counts its metrics.

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
                # Asked for first, since reading the form would leave nothing of it.
                request.get_data(cache=True, parse_form_data=False),
                units.own,
            )
        )
        for update in component.take_series():
            if seldon_metrics is not None:
                seldon_metrics.add_series(update)
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
    for prefix in ("", "/api/v1.0"):
        add(f"{prefix}/health/status", "health-status", ("GET",))
        add(f"{prefix}/metadata", "metadata", ("GET",))
    json_type = {"Content-Type": "application/json"}
    app.add_url_rule("/seldon.json", "/seldon.json", lambda: Response(document(""), 200, json_type))
    app.add_url_rule("/health/ping", "/health/ping", lambda: "pong")
    return app


def get_metrics_microservice(seldon_metrics: Any) -> Flask:
    """An application with the metrics that were counted, in Prometheus's text. Raises ImportError without Flask."""
    from flask import Flask, Response

    app = Flask(__name__)

    def expose() -> Response:
        return Response(_exposition(seldon_metrics.collect()), 200, {"Content-Type": _EXPOSITION})

    app.add_url_rule(METRICS_ENDPOINT, "metrics", expose)
    return app


_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def _exposition(series: list[dict[str, Any]]) -> bytes:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

    from .metrics import BINS

    registry = CollectorRegistry()
    kinds: dict[str, Any] = {"counter": Counter, "gauge": Gauge}
    families: dict[tuple[str, tuple[str, ...]], Any] = {}
    for found in series:
        name, labels = found["name"], found["labels"]
        key = (name, tuple(sorted(labels)))
        if key not in families:
            own = CollectorRegistry() if any(n == name for n, _ in families) else registry
            if found["type"] == "histogram":
                families[key] = Histogram(name, name, key[1], registry=own, buckets=BINS[1:-1])
            else:
                families[key] = kinds[found["type"]](name, name, key[1], registry=own)
        child = families[key].labels(**labels)
        if found["type"] == "histogram":
            for value in found["value"]:
                child.observe(value)
        elif found["type"] == "counter":
            child.inc(found["value"])
        else:
            child.set(found["value"])
    return bytes(generate_latest(registry))


class SeldonModelGRPC:
    """A component behind all of Seldon's gRPC services. Its methods take a message and grpc's context."""

    def __init__(self, user_model: Any, seldon_metrics: Any) -> None:
        self.user_model = user_model
        self.seldon_metrics = seldon_metrics
        self.metadata_data = seldon_methods.init_metadata(user_model)

    def Predict(self, request_grpc: Any, context: Any) -> Any:
        return seldon_methods.predict(self.user_model, request_grpc, self.seldon_metrics)

    def SendFeedback(self, feedback_grpc: Any, context: Any) -> Any:
        return seldon_methods.send_feedback(
            self.user_model, feedback_grpc, PRED_UNIT_ID, self.seldon_metrics
        )

    def TransformInput(self, request_grpc: Any, context: Any) -> Any:
        return seldon_methods.transform_input(self.user_model, request_grpc, self.seldon_metrics)

    def TransformOutput(self, request_grpc: Any, context: Any) -> Any:
        return seldon_methods.transform_output(self.user_model, request_grpc, self.seldon_metrics)

    def Route(self, request_grpc: Any, context: Any) -> Any:
        return seldon_methods.route(self.user_model, request_grpc, self.seldon_metrics)

    def Aggregate(self, request_grpc: Any, context: Any) -> Any:
        return seldon_methods.aggregate(self.user_model, request_grpc, self.seldon_metrics)

    def Metadata(self, request_grpc: Any, context: Any) -> Any:
        return utils.json_to_seldon_model_metadata(self.metadata_data)

    def ModelMetadata(self, request_grpc: Any, context: Any) -> Any:
        return utils.json_to_seldon_model_metadata(self.metadata_data)

    def GraphMetadata(self, request_grpc: Any, context: Any) -> Any:
        raise NotImplementedError("GraphMetadata not available on the Model level.")


def get_grpc_server(
    user_model: Any,
    seldon_metrics: Any,
    annotations: Mapping[str, str] | None = None,
    trace_interceptor: Any = None,
    num_threads: int = 1,
) -> Any:
    """A server of grpcio with all of Seldon's services, not yet started. Raises ImportError without grpcio."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    from .proto import prediction_pb2_grpc

    options = []
    size = (annotations or {}).get(ANNOTATION_GRPC_MAX_MSG_SIZE)
    if size is not None:
        options = [(f"grpc.max_{way}_message_length", int(size)) for way in ("send", "receive")]
    interceptors = () if trace_interceptor is None else (trace_interceptor,)
    server = grpc.server(
        ThreadPoolExecutor(max_workers=num_threads), options=options, interceptors=interceptors
    )
    servicer = SeldonModelGRPC(user_model, seldon_metrics)
    for name in (
        *("Generic", "Model", "Router", "Transformer", "OutputTransformer", "Combiner"),
        "Seldon",
    ):
        getattr(prediction_pb2_grpc, f"add_{name}Servicer_to_server")(servicer, server)
    return server
