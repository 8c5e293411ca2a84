"""A file of metrics, as the setting `metrics_config` names one. Of its sections, handlers have `model_metrics`."""

from __future__ import annotations

from typing import Any

from mms.interfaces.torchserve.metrics.kinds import (
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCachePyYamlError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
)
from mms.text.brief import brief

_SECTION = "model_metrics"
_MEMBERS = ("name", "unit", "dimensions")


def read_metrics_file(path: str) -> Any:
    """Return what a file says. Raises MetricsCacheIOError, MetricsCachePyYamlError, and MetricsCacheTypeError.

    It is the operator's, who may write aliases in it.
    """
    # Most servers have no such file.
    import yaml

    if not path:
        raise MetricsCacheTypeError("Config file not initialized")
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise MetricsCachePyYamlError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MetricsCacheIOError(f"{path}: {error}") from None


def read_metrics(document: Any) -> list[dict[str, Any]]:
    """Return the metrics of models: `type`, `name`, `unit`, `dimensions`.

    Raises MetricsCacheKeyError, MetricsCacheValueError and MetricsCacheTypeError for a document without them.
    """
    if not isinstance(document, dict) or _SECTION not in document:
        raise MetricsCacheKeyError(f"'{_SECTION}' key not found in yaml file")
    section = document[_SECTION]
    if not isinstance(section, dict) or not section:
        raise MetricsCacheValueError(f"Missing `{_SECTION}` specification")
    found: list[dict[str, Any]] = []
    for kind, metrics in section.items():
        try:
            its_kind = MetricTypes(kind)
        except ValueError as error:
            raise MetricsCacheKeyError(f"Invalid metric type: {error}") from None
        found += [{"type": its_kind.value, **_checked(metric)} for metric in metrics or ()]
    return found


def _checked(metric: Any) -> dict[str, Any]:
    """Return the members of a metric. Raises MetricsCacheKeyError and MetricsCacheTypeError."""
    if not isinstance(metric, dict):
        raise MetricsCacheTypeError(f"a metric is {brief(metric)}, which is no mapping")
    absent = [member for member in _MEMBERS if member not in metric]
    if absent:
        raise MetricsCacheKeyError(f"Key not found in cache spec: {brief(absent[0])}")
    name, unit, dimensions = (metric[member] for member in _MEMBERS)
    if not isinstance(name, str) or not isinstance(unit, str):
        raise MetricsCacheTypeError(f"name and unit of a metric are texts: {brief(metric)}")
    if not isinstance(dimensions, list) or not all(isinstance(each, str) for each in dimensions):
        raise MetricsCacheTypeError(f"dimensions of metric {brief(name)} are a list of names")
    return {"name": name, "unit": unit, "dimensions": dimensions}
