"""A graph as a value: its nodes, and which calls each of them implies. Decided once, at load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mms.traffic.bandit import Bandit


class NodeType(Enum):
    """The types of Seldon Core's predictive units."""

    UNKNOWN = "UNKNOWN_TYPE"
    MODEL = "MODEL"
    TRANSFORMER = "TRANSFORMER"
    OUTPUT_TRANSFORMER = "OUTPUT_TRANSFORMER"
    ROUTER = "ROUTER"
    COMBINER = "COMBINER"


class Builtin(Enum):
    """Implementations that need no model: they are answered in the server itself."""

    SIMPLE_MODEL = "SIMPLE_MODEL"
    SIMPLE_ROUTER = "SIMPLE_ROUTER"
    RANDOM_ABTEST = "RANDOM_ABTEST"
    AVERAGE_COMBINER = "AVERAGE_COMBINER"
    #: These two are this server's own.
    WEIGHTED_ROUTER = "WEIGHTED_ROUTER"
    BANDIT_ROUTER = "BANDIT_ROUTER"


class Step(Enum):
    """A call to a node. The value is the word of the request's `:operation`."""

    PREDICT = "predict"
    TRANSFORM_INPUT = "transform-input"
    TRANSFORM_OUTPUT = "transform-output"
    ROUTE = "route"
    AGGREGATE = "aggregate"
    SEND_FEEDBACK = "send-feedback"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a remote node listens. `is_grpc`: Seldon's gRPC services; else REST."""

    host: str
    port: int
    is_grpc: bool = False

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'grpc' if self.is_grpc else 'http'}://{self.address}"


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a graph, with its subtree.

    `before` and `after`: what is called before and after the children, None for nothing. `routes`, `aggregates` and
    `learns`: whether the node itself chooses children, joins their replies, receives feedback. A built-in node does
    all of that without a call. `image`: the container image of a deployment, None where there is none.
    """

    name: str
    type: NodeType
    children: tuple[Node, ...] = ()
    builtin: Builtin | None = None
    #: A pre-packaged server's name, such as SKLEARN_SERVER.
    server: str | None = None
    methods: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    model_uri: str | None = None
    image: str | None = None
    #: How many processes its container is to have, None where the document does not say.
    workers: int | None = None
    #: Members that nothing here obeys.
    not_obeyed: tuple[str, ...] = ()
    #: Of a RANDOM_ABTEST or WEIGHTED_ROUTER: the shares of requests, by child.
    weights: dict[str, float] | None = None
    #: Of a BANDIT_ROUTER: what it has learned of its children since the graph was registered.
    bandit: Bandit | None = None
    before: Step | None = field(init=False)
    after: Step | None = field(init=False)
    routes: bool = field(init=False)
    aggregates: bool = field(init=False)
    learns: bool = field(init=False)

    def __post_init__(self) -> None:
        kind, methods = self.type, self.methods
        before = None
        if kind is NodeType.TRANSFORMER or "TRANSFORM_INPUT" in methods:
            before = Step.TRANSFORM_INPUT
        elif kind is NodeType.MODEL:
            before = Step.PREDICT
        has_after = kind is NodeType.OUTPUT_TRANSFORMER or "TRANSFORM_OUTPUT" in methods
        can_learn = kind in (NodeType.MODEL, NodeType.ROUTER) or "SEND_FEEDBACK" in methods
        decided = {
            "before": before,
            "after": Step.TRANSFORM_OUTPUT if has_after else None,
            "routes": kind is NodeType.ROUTER or "ROUTE" in methods,
            "aggregates": kind is NodeType.COMBINER or "AGGREGATE" in methods,
            "learns": can_learn and self.builtin is None,
        }
        for name, value in decided.items():
            object.__setattr__(self, name, value)

    @property
    def kind(self) -> str:
        """A word for people: the implementation where it is what counts, else the type."""
        if self.builtin is not None:
            return self.builtin.value
        return self.server or self.type.value

    @property
    def is_local(self) -> bool:
        """Answered by a model of this server."""
        return self.builtin is None and self.endpoint is None

    def branch_of(self, child: str) -> int:
        return next(index for index, found in enumerate(self.children) if found.name == child)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Graph:
    """A predictor. `timeout_s`: for each call to a node, None for no limit of its own.

    `deployment`: the name that the document gives to the whole, None where it gives none.
    """

    root: Node
    deployment: str | None = None
    namespace: str = ""
    predictor: str = ""
    predictor_version: str = ""
    timeout_s: float | None = None
    #: What the document asks for and nothing here does, by where it stands.
    not_obeyed: tuple[str, ...] = ()

    def nodes(self) -> list[Node]:
        return list(self.root.walk())

    def find(self, name: str) -> Node | None:
        return next((node for node in self.root.walk() if node.name == name), None)
