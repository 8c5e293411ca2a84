"""Which path means what below `/v2`. A model's own interface says what its operations are."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

TREE = "v2"
_MODELS = "models"
_HEALTH = "health"
_VERSIONS = "versions"


class V2Kind(Enum):
    """What is asked."""

    #: Nothing but the address of the server: by GET what serves there, else the body says which model.
    ROOT = auto()
    HEALTH = auto()
    READY = auto()
    #: All models, unless the body names one.
    MODELS = auto()
    MODEL = auto()
    #: The graph at the root, which reads the path itself.
    GRAPH = auto()
    #: A path that no model and no router has.
    ILLEGAL = auto()


class V2Path(NamedTuple):
    """`key`: the model as the path names it, `name` or `name:version`. `operation`: what follows it, without slashes
    at its ends; of a GRAPH the whole path."""

    kind: V2Kind
    key: str = ""
    operation: str = ""


def find_v2(segments: list[str]) -> V2Path | None:
    """The meaning of a path of the tree; None for any other.

    `/v2/predict` is none of them: in MMS it asks a model named `v2`.
    """
    if len(segments) < 2 or segments[0] != TREE:
        return None
    if segments[1] == _HEALTH:
        is_ready = segments[2:] == ["ready"]
        return V2Path(V2Kind.READY if is_ready else V2Kind.HEALTH)
    if segments[1] != _MODELS:
        return None
    rest = segments[2:]
    while rest and not rest[0]:
        del rest[0]
    if not rest:
        return V2Path(V2Kind.MODELS)
    model, *operation = rest
    if len(rest) > 2 and operation[0] == _VERSIONS:
        model, operation = f"{model}:{operation[1]}", operation[2:]
    return V2Path(V2Kind.MODEL, model, "/".join(operation).strip("/"))


def whole_path(segments: list[str]) -> V2Path:
    """The path as a graph at the root reads it."""
    return V2Path(V2Kind.GRAPH, operation="/".join(segments).strip("/"))
