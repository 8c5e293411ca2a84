"""Custom metrics: the dicts that components return, and the series that come of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mms.interfaces.seldon.errors import BAD_METRIC, SeldonMicroserviceException
from mms.text.brief import brief

COUNTER = "COUNTER"
GAUGE = "GAUGE"
TIMER = "TIMER"
_SERIES_TYPES = {COUNTER: "counter", GAUGE: "gauge", TIMER: "histogram"}

FEEDBACK_KEY = "seldon_api_model_feedback"
FEEDBACK_REWARD_KEY = "seldon_api_model_feedback_reward"

#: Operation -> what the label `method` says.
METHODS = {
    "predict": "predict",
    "transform-input": "inputtransform",
    "transform-output": "outputtransform",
    "route": "router",
    "aggregate": "aggregate",
    "send-feedback": "feedback",
    "health-status": "health",
}

_UNKNOWN = "NOT_IMPLEMENTED"


def is_valid(metrics: Any) -> bool:
    """Return whether it is a list of dicts, each with a key, a known type and a value that takes a number added."""
    return _fault_of(metrics) is None


def _fault_of(metrics: Any) -> str | None:
    """Return why it is no list of metrics; None where it is one."""
    if not isinstance(metrics, list):
        return f"metrics are a list, not {_type_of(metrics)}"
    for index, metric in enumerate(metrics):
        where = f"metric {index}"
        if not isinstance(metric, dict):
            return f"{where} is {_type_of(metric)}, not a dict with type, key and value"
        for member in ("key", "value", "type"):
            if member not in metric:
                return f"{where} has no {member}"
        if metric["type"] not in tuple(_SERIES_TYPES):
            return (
                f"{where} has the type {brief(metric['type'])}, which is not one of "
                f"{', '.join(_SERIES_TYPES)}"
            )
        try:
            float(metric["value"] + 1)
        except (TypeError, ValueError, OverflowError):
            return f"{where} has the value {brief(metric['value'])}, which is not a number"
    return None


def _fault_of_tags(metrics: list[dict[str, Any]]) -> str | None:
    """Return what is wrong with the tags of the first metric whose tags are no dict of texts; None where all are."""
    for index, metric in enumerate(metrics):
        tags = metric.get("tags", {})
        if not isinstance(tags, dict):
            return f"the tags of metric {index} are {_type_of(tags)}, not a dict of texts"
        for name, text in tags.items():
            if not isinstance(name, str) or not isinstance(text, str):
                return (
                    f"metric {index} has the tag {brief(name)} with the value {brief(text)}; "
                    "both must be text"
                )
    return None


def _type_of(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def validate(metrics: Any, is_strict: bool = False) -> None:
    """Raise SeldonMicroserviceException (500) with the metrics as JSON and, unless `is_strict`, what is wrong.

    Where `is_strict`, tags are not looked at, as by Seldon's wrapper.
    """
    fault = _fault_of(metrics)
    if fault is None and not is_strict:
        fault = _fault_of_tags(metrics)
    if fault is None:
        return
    told = f"Bad metric created during request: {json.dumps(metrics, default=str)}"
    raise SeldonMicroserviceException(
        told if is_strict else f"{told} ({fault})", status_code=500, reason=BAD_METRIC
    )


def series_of(metrics: Any, method: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one update for each metric: `{"type", "name", "labels", "value"}`.

    Counters: what to add. Gauges: the new value. Histograms: one observation in seconds (a TIMER
    is in milliseconds). The name is the metric's key (an exposition ends a counter's in `_total`). `labels`
    win over the metric's own tags. As Seldon's wrapper does, `method` is written into the tags of a
    metric that has tags. Raises TypeError for a tag that is no text.
    """
    updates = []
    for metric in metrics:
        kind = _SERIES_TYPES.get(metric.get("type", COUNTER))
        if kind is None:
            # Only in the answers of raw hooks, which nobody validates.
            continue
        tags = metric.get("tags", {})
        tags["method"] = method
        for name, text in tags.items():
            if not isinstance(text, str):
                raise TypeError(
                    f"tag {name} of the metric {metric['key']} must be text, not {brief(text)}"
                )
        value = float(metric["value"])
        updates.append(
            {
                "type": kind,
                "name": metric["key"],
                "labels": {**tags, **labels},
                "value": value / 1000 if kind == "histogram" else value,
            }
        )
    return updates


def reward_series(reward: float, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the two counters of feedback; none without reward, or if SELDON_EXECUTOR_ENABLED is false."""
    if not reward or os.environ.get("SELDON_EXECUTOR_ENABLED", "true").lower() == "false":
        return []
    rewards = [
        {"type": COUNTER, "key": FEEDBACK_KEY, "value": 1},
        {"type": COUNTER, "key": FEEDBACK_REWARD_KEY, "value": reward},
    ]
    return series_of(rewards, METHODS["send-feedback"], labels)


def split_image(image: str) -> tuple[str, str]:
    """Return (name, tag) of an image, at its last colon; ("", image) without one."""
    name, _, tag = image.rpartition(":")
    return name, tag


class Deployment(NamedTuple):
    """Where a unit stands. What is None is said by Seldon's environment."""

    name: str | None = None
    predictor: str | None = None
    predictor_version: str | None = None


ENVIRONMENT: Final = Deployment()


def default_labels(
    unit_id: str | None = None,
    unit_image: str | None = None,
    worker_id: str | None = None,
    deployment: Deployment = ENVIRONMENT,
) -> dict[str, str]:
    """Return the labels of every series, from Seldon's environment where no argument says otherwise.

    `worker_id` labels each worker's series apart; None leaves it out, and the server adds them up.
    Raises ValueError if PREDICTOR_LABELS is no JSON object.
    """
    environment = os.environ
    unknown_image = f"{_UNKNOWN}:{_UNKNOWN}"
    image = unit_image or environment.get("PREDICTIVE_UNIT_IMAGE", unknown_image)
    image_name, image_tag = split_image(image)
    name = deployment.name or environment.get("SELDON_DEPLOYMENT_ID", _UNKNOWN)
    labels = {
        "deployment_name": name,
        "model_name": unit_id or environment.get("PREDICTIVE_UNIT_ID", _UNKNOWN),
        "model_image": image_name,
        "model_version": image_tag,
        "predictor_name": deployment.predictor or environment.get("PREDICTOR_ID", _UNKNOWN),
        "predictor_version": deployment.predictor_version or predictor_version(),
        "seldon_deployment_name": name,
        "image_name": image_name,
        "image_version": image_tag,
    }
    if worker_id is not None:
        labels["worker_id"] = worker_id
    return labels


def predictor_version(default: str = _UNKNOWN) -> str:
    """Return `version` in PREDICTOR_LABELS. Raises ValueError if that is no JSON object."""
    text = os.environ.get("PREDICTOR_LABELS", "{}")
    try:
        return str(json.loads(text).get("version", default))
    except (ValueError, AttributeError):
        raise ValueError(f"PREDICTOR_LABELS must be a JSON object, not {brief(text)}") from None
