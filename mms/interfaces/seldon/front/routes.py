"""What Seldon's clients may ask of a component.

One component has its routes at the root, as behind Seldon's Python wrapper; each model has the same ones below
`/seldon/{model}/` and `/seldon/{namespace}/{model}/`, as behind an ingress.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from mms.interfaces.seldon.document import CALLS

_API_VERSIONS = ("v0.1", "v1.0")
_GET = ("GET", "HEAD")
_POST = ("POST",)
_GET_OR_POST = (*_GET, *_POST)


class Answerer(Enum):
    """Who answers a route."""

    WORKER = auto()
    PING = auto()
    LIVE = auto()
    READY = auto()
    DOCUMENT = auto()
    PAGE = auto()


#: What anybody may ask at the root, as probes do: no code of a model is called.
PROBES = frozenset((Answerer.PING, Answerer.LIVE, Answerer.READY))


class Tail(NamedTuple):
    """What follows the model in a path.

    `operation`: the worker's word for a call. `is_gateway`: a route of the external API, whose answers name the
    prediction's unique id. `is_of_node`: one of the graph's nodes is asked.
    """

    answerer: Answerer
    methods: tuple[str, ...]
    operation: str = ""
    is_gateway: bool = False
    is_of_node: bool = False


def _calls(base: str) -> dict[str, Tail]:
    return {
        f"{base}{path}": Tail(Answerer.WORKER, _GET_OR_POST, path.removeprefix("/"))
        for path, *_ in CALLS
    }


def tails() -> dict[str, Tail]:
    """Return what there is of each model, by what follows the model in a path; `{node}` is a node of a graph."""
    health = Tail(Answerer.WORKER, _GET, "health-status")
    metadata = Tail(Answerer.WORKER, _GET, "metadata")
    ready = Tail(Answerer.READY, _GET)
    document = Tail(Answerer.DOCUMENT, _GET)
    found = {
        **_calls(""),
        "/health/ping": Tail(Answerer.PING, _GET),
        "/health/status": health,
        "/metadata": metadata,
        "/seldon.json": document,
        "/ready": ready,
        "/live": Tail(Answerer.LIVE, _GET),
    }
    for version in _API_VERSIONS:
        api = f"/api/{version}"
        found |= _calls(api)
        found |= {
            f"{api}/predictions": Tail(Answerer.WORKER, _POST, "predict", is_gateway=True),
            f"{api}/feedback": Tail(Answerer.WORKER, _POST, "send-feedback", is_gateway=True),
            f"{api}/health/status": health,
            f"{api}/status": ready,
            f"{api}/metadata": metadata,
            f"{api}/doc": Tail(Answerer.PAGE, _GET),
            f"{api}/doc/seldon.json": document,
            f"{api}/status/{{node}}": health._replace(is_of_node=True),
            f"{api}/metadata/{{node}}": metadata._replace(is_of_node=True),
        }
    return found
