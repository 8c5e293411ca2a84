"""Which path means what below `/v2`. A model's own interface says what its operations are."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from mms.http.routing import ANY_METHOD, Route, RouteTable, not_found

TREE: Final = "v2"


class V2Kind(Enum):
    """What is asked."""

    #: Nothing but the address of the server: by GET what serves there, else the body says which model.
    ROOT = auto()
    HEALTH = auto()
    LIVE = auto()
    READY = auto()
    #: All models, unless the body names one.
    MODELS = auto()
    MODEL = auto()
    #: The graph at the root, which reads the path itself.
    GRAPH = auto()
    #: A path that no model and no router has.
    ILLEGAL = auto()


#: The tree, and what it means. A model's name may be empty: more slashes may stand before the name that counts.
PATTERNS: Final = {
    f"/{TREE}/health/live": V2Kind.LIVE,
    f"/{TREE}/health/ready": V2Kind.READY,
    f"/{TREE}/health/{{tail:.*}}": V2Kind.HEALTH,
    f"/{TREE}/models": V2Kind.MODELS,
    f"/{TREE}/models/{{model}}/versions/{{version}}/{{operation:.*}}": V2Kind.MODEL,
    f"/{TREE}/models/{{model}}/{{operation:.*}}": V2Kind.MODEL,
}
_TREE: Final = RouteTable(Route(ANY_METHOD, pattern, not_found) for pattern in PATTERNS)


class V2Path(NamedTuple):
    """`key`: the model as the path names it, `name` or `name:version`. `operation`: what follows it, without slashes
    at its ends; of a GRAPH the whole path."""

    kind: V2Kind
    key: str = ""
    operation: str = ""


def find_v2(segments: list[str]) -> V2Path | None:
    """Return the meaning of a path of the tree; None for any other.

    `/v2/predict` is none of them: in MMS it asks a model named `v2`.
    """
    route, match = _TREE.match_segments(segments, "")
    kind = PATTERNS.get(route.pattern)
    if kind is None:
        return None
    if kind is not V2Kind.MODEL:
        return V2Path(kind)
    values = match.values
    if not values["model"]:
        named = next((i for i, part in enumerate(segments) if i > 1 and part), None)
        return V2Path(V2Kind.MODELS) if named is None else find_v2(segments[:2] + segments[named:])
    key = f"{values['model']}:{values['version']}" if "version" in values else values["model"]
    return V2Path(kind, key, values["operation"].strip("/"))


def whole_path(segments: list[str]) -> V2Path:
    """Return the path as a graph at the root reads it."""
    return V2Path(V2Kind.GRAPH, operation="/".join(segments).strip("/"))
