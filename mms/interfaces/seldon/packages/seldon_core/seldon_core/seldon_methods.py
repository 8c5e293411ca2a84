"""What Seldon's wrapper does with a message: each function asks a component, in Seldon's order of its hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mms.interfaces.seldon.codec.json_text import load_json
from mms.interfaces.seldon.components.component import Component
from mms.interfaces.seldon.components.description_calls import MetadataCall
from mms.interfaces.seldon.components.hooks import OwnHooks
from mms.interfaces.seldon.unit import UnitNames, Units

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(__name__)


def component_of(user_model: Any, names: UnitNames | None = None) -> Component:
    """The host of a user's class, which has loaded. Raises what its `init_metadata` raises."""
    names = UnitNames.of_environment() if names is None else names
    metadata = MetadataCall(OwnHooks(user_model), False)
    return Component(user_model, metadata, Units(names, False))


def predict(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    """The answer to a SeldonMessage: a dict to a dict, a protobuf message to one."""
    return _asked(user_model, "predict", request, seldon_metrics)


def transform_input(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    return _asked(user_model, "transform-input", request, seldon_metrics)


def transform_output(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    return _asked(user_model, "transform-output", request, seldon_metrics)


def route(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    return _asked(user_model, "route", request, seldon_metrics)


def aggregate(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    """The answer to a SeldonMessageList, or to a list of messages as JSON has it."""
    return _asked(user_model, "aggregate", request, seldon_metrics)


def send_feedback(
    user_model: Any, request: Any, predictive_unit_id: str, seldon_metrics: Any
) -> Any:
    """The SeldonMessage that answers a protobuf Feedback."""
    names = UnitNames.of_environment()._replace(id=predictive_unit_id)
    return _asked(user_model, "send-feedback", request, seldon_metrics, names)


def health_status(user_model: Any, seldon_metrics: Any) -> Any:
    return _asked(user_model, "health-status", {}, seldon_metrics)


def init_metadata(user_model: Any) -> dict[str, Any]:
    """The metadata that are served: MODEL_METADATA over the component's over the defaults.

    Raises SeldonMicroserviceException for invalid ones.
    """
    found = _asked(user_model, "metadata", {}, None)
    assert isinstance(found, dict)
    return found


def handle_raw_custom_metrics(msg: Any, seldon_metrics: Any, is_proto: bool, method: str) -> None:
    """Count the metrics in a raw answer's `meta`; without the client's share they are taken out of it."""
    from .user_model import INCLUDE_METRICS_IN_CLIENT_RESPONSE

    if is_proto:
        from .utils import seldon_message_to_json

        metrics = seldon_message_to_json(msg.meta).get("metrics", [])
        seldon_metrics.update(metrics, method)
        if metrics and not INCLUDE_METRICS_IN_CLIENT_RESPONSE:
            del msg.meta.metrics[:]
    elif isinstance(msg, dict):
        metrics = msg.get("meta", {}).get("metrics", [])
        seldon_metrics.update(metrics, method)
        if metrics and not INCLUDE_METRICS_IN_CLIENT_RESPONSE:
            del msg["meta"]["metrics"]


def _asked(
    user_model: Any,
    operation: str,
    request: Any,
    seldon_metrics: Any,
    names: UnitNames | None = None,
) -> Any:
    component = component_of(user_model, names)
    try:
        if isinstance(request, Mapping | list):
            return load_json(component.ask(operation, request, is_proto=False))
        from mms.interfaces.seldon.codec.messages import SeldonMessage

        body = request.SerializeToString() if hasattr(request, "SerializeToString") else request
        return SeldonMessage.FromString(component.ask(operation, body, is_proto=True))
    finally:
        for update in component.take_series():
            if seldon_metrics is not None:
                seldon_metrics.add_series(update)
