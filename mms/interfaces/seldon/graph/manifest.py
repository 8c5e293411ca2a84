"""What a SeldonDeployment says beside its graph: the containers of nodes, and what of it nothing here obeys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mms.errors import InvalidModel
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.interfaces.seldon.graph.node import Node

_WORKERS: Final = "GUNICORN_WORKERS"
#: Members that are obeyed, or ask for nothing: this server is no cluster.
_QUIET_IN_CONTAINERS: Final = ("name", "image", "imagePullPolicy", "ports", "env")
_QUIET_IN_PODS: Final = ("containers", "terminationGracePeriodSeconds", "imagePullSecrets")
_QUIET_IN_PREDICTORS: Final = ("name", "graph", "componentSpecs", "labels", "annotations")
_QUIET_IN_SPECS: Final = ("name", "predictors", "annotations", "protocol", "serverType")
_QUIET_ANNOTATIONS: Final = (
    *("version", "seldon.io/rest-timeout", "seldon.io/grpc-timeout"),
    *("project_name", "deployment_version"),
)


class GraphError(InvalidModel):
    """A graph that cannot be served. The message names the node or the member, and what would be right."""


class Container(NamedTuple):
    """A node's container. `workers`: by GUNICORN_WORKERS. `not_obeyed`: members that nothing here obeys."""

    image: str | None
    workers: int | None
    not_obeyed: tuple[str, ...]


def read_containers(predictor: Mapping[str, Any], where: str) -> dict[str, Container]:
    """Container name -> container, of the predictor's componentSpecs. Raises GraphError."""
    containers: dict[str, Container] = {}
    for pod in _pods(predictor, where):
        for found in list_of(pod, "containers", where):
            if isinstance(found, dict):
                name = str(found.get("name"))
                containers[name] = _container(found, f"Container {brief(name)}")
    return containers


def _pods(predictor: Mapping[str, Any], where: str) -> Iterator[Mapping[str, Any]]:
    for component in list_of(predictor, "componentSpecs", where):
        pod = component.get("spec") if isinstance(component, dict) else None
        if isinstance(pod, dict):
            yield pod


def _container(found: Mapping[str, Any], where: str) -> Container:
    workers = None
    ignored = [str(key) for key in found if key not in _QUIET_IN_CONTAINERS]
    for variable in list_of(found, "env", where):
        name = variable.get("name") if isinstance(variable, dict) else None
        if name == _WORKERS:
            workers = _count(variable.get("value"), where)
        else:
            ignored.append(f"env {name}")
    image = found.get("image")
    return Container(image if isinstance(image, str) else None, workers, tuple(ignored))


def _count(value: Any, where: str) -> int:
    try:
        count = int(str(value))
    except ValueError:
        count = 0
    if count < 1:
        raise GraphError(f"{where} has {_WORKERS}={brief(value)}, not a whole number from 1 on.")
    return count


def not_obeyed(
    spec: Mapping[str, Any] | None,
    predictor: Mapping[str, Any],
    containers: Mapping[str, Container],
    root: Node,
) -> tuple[str, ...]:
    """Return what the document asks for and nothing here does."""
    found: list[str] = []
    if spec is not None:
        found += [f"spec.{key}" for key in spec if key not in _QUIET_IN_SPECS and _says(spec[key])]
        others = [
            p.get("name") for p in spec["predictors"] if p is not predictor and p != predictor
        ]
        found += [f"predictor {name}" for name in others]
    for key, value in predictor.items():
        # One replica, or all of the traffic, is what there is.
        if key not in _QUIET_IN_PREDICTORS and _says(value) and (key, value) not in _AS_IT_IS:
            found.append(f"predictor.{key}")
    annotations = predictor.get("annotations")
    if isinstance(annotations, dict):
        found += [f"annotation {key}" for key in annotations if key not in _QUIET_ANNOTATIONS]
    for pod in _pods(predictor, "predictor"):
        found += [f"pod.{key}" for key in pod if key not in _QUIET_IN_PODS and _says(pod[key])]
    names = {node.name for node in root.walk()}
    for name, container in containers.items():
        if name not in names:
            found.append(f"container {name}, which is not a node's")
        found += [f"container {name}: {member}" for member in container.not_obeyed]
    for node in root.walk():
        found += [f"node {node.name}: {member}" for member in node.not_obeyed]
    return tuple(found)


_AS_IT_IS: Final = (("replicas", 1), ("traffic", 100))


def _says(value: Any) -> bool:
    return value not in (None, "", [], {}, 0, False)


def mapping_of(found: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """Return a member that is a mapping; an empty one where it is missing. Raises GraphError."""
    value = found.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GraphError(f"{where}: {key} must be a mapping, not {brief(value)}.")
    return value


def list_of(found: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """Return a member that is a list; an empty one where it is missing. Raises GraphError."""
    value = found.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise GraphError(f"{where}: {key} must be a list, not {brief(value)}.")
    return value


def text_of(found: Mapping[str, Any], key: str, where: str) -> str | None:
    """Return a member that is a text; None where it is missing. Raises GraphError."""
    value = found.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise GraphError(f"{where}: {key} must be a text, not {brief(value)}.")
    return value
