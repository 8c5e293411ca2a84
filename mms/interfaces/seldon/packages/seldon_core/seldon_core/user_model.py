"""The base class of components and the response with tags and metrics."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mms.interfaces.seldon.components.user_model import SeldonComponent, SeldonResponse
from mms.interfaces.seldon.errors import (
    SeldonMicroserviceException,
    SeldonNotImplementedError,
    is_not_implemented,
)

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(__name__, "")

INCLUDE_METRICS_IN_CLIENT_RESPONSE = (
    os.environ.get("INCLUDE_METRICS_IN_CLIENT_RESPONSE", "true").lower() == "true"
)

# The functions by which Seldon's wrapper calls a component. Here the signature decides how a hook is called, and none
# is called twice.


def client_predict(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `predict` returns; an empty list where there is none."""
    return _client_data(user_model, "predict", [], features, feature_names, kwargs)


def client_transform_input(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `transform_input` returns; the features where there is none."""
    return _client_data(user_model, "transform_input", features, features, feature_names, kwargs)


def client_transform_output(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `transform_output` returns; the features where there is none."""
    return _client_data(user_model, "transform_output", features, features, feature_names, kwargs)


def client_route(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `route` returns. Raises SeldonNotImplementedError where there is none."""
    from mms.interfaces.seldon.components.hooks import OwnHooks
    from mms.interfaces.seldon.components.signatures import data_call

    hooks = OwnHooks(user_model)
    hook = hooks.find("route")
    if hook is None:
        raise _absent(hooks, "route")
    return SeldonResponse.create(
        data_call(hook, "route")(features, feature_names, kwargs.get("meta"))
    )


def client_aggregate(
    user_model: Any, features_list: Sequence[Any], feature_names_list: Sequence[Any]
) -> SeldonResponse:
    """What `aggregate` returns. Raises SeldonNotImplementedError where there is none."""
    from mms.interfaces.seldon.components.hooks import OwnHooks
    from mms.interfaces.seldon.components.signatures import aggregate_call

    hooks = OwnHooks(user_model)
    hook = hooks.find("aggregate")
    if hook is None:
        raise _absent(hooks, "aggregate")
    names = list(feature_names_list)
    return SeldonResponse.create(
        aggregate_call(hook)(list(features_list), names, [None] * len(names))
    )


def client_send_feedback(
    user_model: Any,
    features: Any,
    feature_names: Any,
    reward: float,
    truth: Any,
    routing: int | None,
) -> SeldonResponse:
    """What `send_feedback` returns; None where there is none."""
    from mms.interfaces.seldon.components.hooks import OwnHooks
    from mms.interfaces.seldon.components.signatures import feedback_call

    hook = OwnHooks(user_model).find("send_feedback")
    if hook is None:
        return SeldonResponse.create(None)
    try:
        found = feedback_call(hook, False)(features, feature_names, reward, truth, routing)
    except Exception as error:
        if not is_not_implemented(error):
            raise
        found = None
    return SeldonResponse.create(found)


def client_health_status(user_model: Any) -> Any:
    """What `health_status` returns, or a text that says that it is assumed to be healthy."""
    if not hasattr(user_model, "health_status"):
        return "healthy"
    return _else(user_model, "health_status", "not implemented - assuming healthy")


def client_class_names(user_model: Any, predictions: Any) -> Any:
    """Names of a result's columns; none below two axes."""
    from mms.interfaces.seldon.codec.forms import names_of
    from mms.interfaces.seldon.components.hooks import OwnHooks
    from mms.interfaces.seldon.components.results import class_names_of

    names = names_of(predictions, class_names_of(user_model, OwnHooks(user_model)))
    return list(names) if isinstance(names, tuple) else names


def client_feature_names(user_model: Any, original: Iterable[str]) -> Any:
    return _else(user_model, "feature_names", original)


def client_custom_tags(user_model: Any) -> Any:
    return _else(user_model, "tags", {})


def client_custom_metrics(
    user_model: Any,
    seldon_metrics: Any,
    method: str,
    runtime_metrics: Sequence[Mapping[str, Any]] = (),
) -> list[Any]:
    """The metrics of the component and of one result, counted in `seldon_metrics`.

    Empty where clients are not to have them. Raises SeldonMicroserviceException (500) for what are none.
    """
    from mms.interfaces.seldon.series import validate

    runtime = list(runtime_metrics)
    found = _else(user_model, "metrics", [])
    for metrics in (runtime, found):
        validate(metrics)
        seldon_metrics.update(metrics, method)
    return [*found, *runtime] if INCLUDE_METRICS_IN_CLIENT_RESPONSE else []


def _client_data(
    user_model: Any,
    name: str,
    otherwise: Any,
    features: Any,
    feature_names: Any,
    keywords: Mapping[str, Any],
) -> SeldonResponse:
    from mms.interfaces.seldon.components.hooks import OwnHooks
    from mms.interfaces.seldon.components.signatures import data_call

    hook = OwnHooks(user_model).find(name)
    if hook is None:
        return SeldonResponse.create(otherwise)
    try:
        found = data_call(hook, name)(features, feature_names, keywords.get("meta"))
    except Exception as error:
        if not is_not_implemented(error):
            raise
        found = otherwise
    return SeldonResponse.create(found)


def _else(user_model: Any, name: str, otherwise: Any) -> Any:
    hook = getattr(user_model, name, None)
    if hook is None:
        return otherwise
    try:
        return hook()
    except Exception as error:
        if is_not_implemented(error):
            return otherwise
        raise


def _absent(hooks: Any, name: str) -> SeldonNotImplementedError:
    from mms.interfaces.seldon.components.calls import absent_hook

    return absent_hook(hooks, name)


__all__ = [
    "INCLUDE_METRICS_IN_CLIENT_RESPONSE",
    "SeldonComponent",
    "SeldonMicroserviceException",
    "SeldonNotImplementedError",
    "SeldonResponse",
    "client_aggregate",
    "client_class_names",
    "client_custom_metrics",
    "client_custom_tags",
    "client_feature_names",
    "client_health_status",
    "client_predict",
    "client_route",
    "client_send_feedback",
    "client_transform_input",
    "client_transform_output",
]
