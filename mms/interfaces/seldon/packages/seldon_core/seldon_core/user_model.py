"""The base class of components, the response with tags and metrics, and the functions that call a component's hooks.

Here the signature decides how a hook is called, and none is called twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mms.interfaces.seldon.components.hooks import OwnHooks
from mms.interfaces.seldon.components.signatures import aggregate_call, data_call, feedback_call
from mms.interfaces.seldon.components.user_model import SeldonComponent as SeldonComponent
from mms.interfaces.seldon.components.user_model import SeldonResponse
from mms.interfaces.seldon.errors import SeldonMicroserviceException as SeldonMicroserviceException
from mms.interfaces.seldon.errors import SeldonNotImplementedError as SeldonNotImplementedError
from mms.interfaces.seldon.errors import is_not_implemented
from mms.interfaces.seldon.series import validate

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(__name__)

INCLUDE_METRICS_IN_CLIENT_RESPONSE = (
    os.environ.get("INCLUDE_METRICS_IN_CLIENT_RESPONSE", "true").lower() == "true"
)


def client_predict(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `predict` returns; an empty list where there is none."""
    return _of_data(user_model, "predict", [], features, feature_names, kwargs)


def client_transform_input(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `transform_input` returns; the features where there is none."""
    return _of_data(user_model, "transform_input", features, features, feature_names, kwargs)


def client_transform_output(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `transform_output` returns; the features where there is none."""
    return _of_data(user_model, "transform_output", features, features, feature_names, kwargs)


def client_route(
    user_model: Any, features: Any, feature_names: Any, **kwargs: Any
) -> SeldonResponse:
    """What `route` returns. Raises SeldonNotImplementedError where there is none."""
    call = data_call(OwnHooks(user_model).need("route"), "route")
    return SeldonResponse.create(call(features, feature_names, kwargs.get("meta")))


def client_aggregate(
    user_model: Any, features_list: Sequence[Any], feature_names_list: Sequence[Any]
) -> SeldonResponse:
    """What `aggregate` returns. Raises SeldonNotImplementedError where there is none."""
    call = aggregate_call(OwnHooks(user_model).need("aggregate"))
    names = list(feature_names_list)
    return SeldonResponse.create(call(list(features_list), names, [None] * len(names)))


def client_send_feedback(
    user_model: Any,
    features: Any,
    feature_names: Any,
    reward: float,
    truth: Any,
    routing: int | None,
) -> SeldonResponse:
    """What `send_feedback` returns; None where there is none."""
    hook = OwnHooks(user_model).find("send_feedback")
    if hook is None:
        return SeldonResponse.create(None)
    call = feedback_call(hook, False)
    return SeldonResponse.create(_else(None, call, features, feature_names, reward, truth, routing))


def client_health_status(user_model: Any) -> Any:
    """What `health_status` returns, or a text that says that it is assumed to be healthy."""
    if not hasattr(user_model, "health_status"):
        return "healthy"
    return _else("not implemented - assuming healthy", user_model.health_status)


def client_class_names(user_model: Any, predictions: Any) -> Any:
    """Names of a result's columns; none below two axes."""
    from mms.interfaces.seldon.codec.forms import names_of
    from mms.interfaces.seldon.components.results import class_names_of

    names = names_of(predictions, class_names_of(user_model, OwnHooks(user_model)))
    return list(names) if isinstance(names, tuple) else names


def client_feature_names(user_model: Any, original: Iterable[str]) -> Any:
    return _else(original, getattr(user_model, "feature_names", None))


def client_custom_tags(user_model: Any) -> Any:
    return _else({}, getattr(user_model, "tags", None))


def client_custom_metrics(
    user_model: Any,
    seldon_metrics: Any,
    method: str,
    runtime_metrics: Sequence[Mapping[str, Any]] = (),
) -> list[Any]:
    """The metrics of the component and of one result, counted in `seldon_metrics`.

    Empty where clients are not to have them. Raises SeldonMicroserviceException (500) for what are none.
    """
    runtime = list(runtime_metrics)
    found = _else([], getattr(user_model, "metrics", None))
    for metrics in (runtime, found):
        validate(metrics)
        seldon_metrics.update(metrics, method)
    return [*found, *runtime] if INCLUDE_METRICS_IN_CLIENT_RESPONSE else []


def _of_data(
    user_model: Any,
    name: str,
    otherwise: Any,
    features: Any,
    feature_names: Any,
    keywords: Mapping[str, Any],
) -> SeldonResponse:
    hook = OwnHooks(user_model).find(name)
    if hook is None:
        return SeldonResponse.create(otherwise)
    call = data_call(hook, name)
    return SeldonResponse.create(
        _else(otherwise, call, features, feature_names, keywords.get("meta"))
    )


def _else(otherwise: Any, hook: Callable[..., Any] | None, *arguments: Any) -> Any:
    """Return what a hook returns; `otherwise` where there is none, or it says that it is not implemented."""
    if hook is None:
        return otherwise
    try:
        return hook(*arguments)
    except Exception as error:
        if is_not_implemented(error):
            return otherwise
        raise
