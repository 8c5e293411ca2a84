"""Which path means what to Seldon's clients.

One component has its routes at the root, as behind Seldon's Python wrapper; each model has the same ones below
`/seldon/{model}/` and `/seldon/{namespace}/{model}/`, as behind an ingress.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import quote

_API_VERSIONS = ("v0.1", "v1.0")
_GET = frozenset(("GET",))
_POST = frozenset(("POST",))
_GET_OR_POST = _GET | _POST


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
    """What follows the model in a path. HEAD is served where GET is, OPTIONS everywhere.

    `operation`: the worker's word for a call. `is_gateway`: a route of the external API, whose answers name the
    prediction's unique id. `node`: the graph's node that is asked.
    """

    answerer: Answerer
    methods: frozenset[str]
    operation: str = ""
    is_gateway: bool = False
    node: str = ""

    @property
    def allowed(self) -> str:
        """The value of an `Allow` header."""
        more = ("HEAD", "OPTIONS") if "GET" in self.methods else ("OPTIONS",)
        return ", ".join(sorted((*self.methods, *more)))


class SeldonPath(NamedTuple):
    """A path of Seldon's. `model` None: the one at the root. `tail` None: a route that Seldon does not have."""

    model: str | None
    tail: Tail | None
    namespace: str = ""

    @property
    def base(self) -> str:
        """What stands before the route, without a slash at the end."""
        return "".join(
            f"/{quote(part, safe='')}"
            for part in ("seldon" if self.model else "", self.namespace, self.model)
            if part
        )


def _calls() -> dict[tuple[str, ...], Tail]:
    return {
        (operation,): Tail(Answerer.WORKER, _GET_OR_POST, operation)
        for operation in (
            *("predict", "transform-input", "transform-output"),
            *("route", "aggregate", "send-feedback"),
        )
    }


def _tails() -> dict[tuple[str, ...], Tail]:
    health = Tail(Answerer.WORKER, _GET, "health-status")
    metadata = Tail(Answerer.WORKER, _GET, "metadata")
    ready = Tail(Answerer.READY, _GET)
    document = Tail(Answerer.DOCUMENT, _GET)
    tails = {
        **_calls(),
        ("health", "ping"): Tail(Answerer.PING, _GET),
        ("health", "status"): health,
        ("metadata",): metadata,
        ("seldon.json",): document,
        ("ready",): ready,
        ("live",): Tail(Answerer.LIVE, _GET),
    }
    for version in _API_VERSIONS:
        api = ("api", version)
        tails |= {(*api, *tail): call for tail, call in _calls().items()}
        tails |= {
            (*api, "predictions"): Tail(Answerer.WORKER, _POST, "predict", is_gateway=True),
            (*api, "feedback"): Tail(Answerer.WORKER, _POST, "send-feedback", is_gateway=True),
            (*api, "health", "status"): health,
            (*api, "status"): ready,
            (*api, "metadata"): metadata,
            (*api, "doc"): Tail(Answerer.PAGE, _GET),
            (*api, "doc", "seldon.json"): document,
        }
    return tails


_TAILS = _tails()
_OF_NODES = {"status": "health-status", "metadata": "metadata"}


def find_tail(segments: list[str]) -> Tail | None:
    """The route of what follows a model's prefix, if Seldon has it."""
    tail = _TAILS.get(tuple(segments))
    if tail is not None or len(segments) != 4:
        return tail
    api, version, word, node = segments
    operation = _OF_NODES.get(word)
    if api == "api" and version in _API_VERSIONS and operation is not None:
        return Tail(Answerer.WORKER, _GET, operation, node=node)
    return None


def find_prefixed(segments: list[str]) -> SeldonPath | None:
    """The meaning of a path below `/seldon/`, None for any other.

    `/seldon/predict` is none of them: in MMS it asks a model named `seldon`.
    """
    if len(segments) < 3 or segments[0] != "seldon":
        return None
    tail = find_tail(segments[2:])
    if tail is not None:
        return SeldonPath(segments[1], tail)
    return SeldonPath(segments[2], find_tail(segments[3:]), segments[1])
