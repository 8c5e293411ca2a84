"""What the specification of a workflow says: its nodes, how each runs, and which comes after which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mms.errors import BadRequest
from mms.text.brief import brief
from mms.text.documents import InvalidDocument, read_yaml

_MOST_NODES: Final = 100
_MOST_ATTEMPTS: Final = 10
#: Key -> (default, least, most).
_NUMBERS: Final[Mapping[str, tuple[int, int, int]]] = {
    "min-workers": (1, 0, 1000),
    "max-workers": (1, 1, 1000),
    "batch-size": (1, 1, 10**6),
    "max-batch-delay": (50, 0, 10**9),
    "retry-attempts": (1, 0, _MOST_ATTEMPTS),
    "timeout-ms": (10_000, 1, 10**9),
}
_URL: Final = "url"


class InvalidWorkflow(BadRequest):
    """The specification of a workflow cannot be."""

    type_name = "InvalidWorkflowException"


class InvalidDag(InvalidWorkflow):
    """The order of its nodes cannot be."""

    type_name = "InvalidDAGException"


@dataclass(frozen=True, slots=True)
class NodeRule:
    """How a node runs. `url`: of a model's archive; empty for a function of the workflow's own file."""

    url: str
    workers: int
    batch_size: int
    max_batch_delay_ms: int
    #: How often it is asked at most.
    attempts: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Specification:
    """A workflow. `order`: its nodes, each behind those that it needs. `parents`: those, by node."""

    numbers: Mapping[str, int]
    rules: Mapping[str, NodeRule]
    successors: Mapping[str, list[str]]
    order: list[str]
    parents: Mapping[str, list[str]]

    @property
    def leaves(self) -> list[str]:
        """Return the nodes whose answers are the workflow's."""
        return [node for node in self.order if not self.successors.get(node)]

    @property
    def dag_text(self) -> str:
        """Return the order as TorchServe writes it."""
        pairs = ", ".join(
            f"{node}=[{', '.join(next)}]" for node, next in self.successors.items() if next
        )
        return f"{{{pairs}}}"


def read_specification(text: bytes) -> Specification:
    """Return what a document says. Blocks. Raises InvalidWorkflow."""
    try:
        document = read_yaml(text)
    except InvalidDocument as error:
        raise InvalidWorkflow(f"The specification of the workflow is no YAML: {error}") from None
    models = document.get("models") if isinstance(document, dict) else None
    dag = document.get("dag") if isinstance(document, dict) else None
    if not isinstance(models, dict) or not isinstance(dag, dict):
        raise InvalidWorkflow(
            "The specification of a workflow has models: and dag:, each with names below it."
        )
    numbers = _numbers({key: models[key] for key in _NUMBERS if key in models}, {}, "models")
    successors = _successors(dag)
    rules = {}
    for node in successors:
        own = models.get(node, {})
        if not isinstance(own, dict) or (node in models and not isinstance(own.get(_URL), str)):
            raise InvalidWorkflow(f"The model {brief(node)} of the workflow has no url.")
        rules[node] = _rule(own, numbers, node)
    parents = {
        node: [each for each in successors if node in successors[each]] for node in successors
    }
    return Specification(numbers, rules, successors, _ordered(successors, parents), parents)


def _successors(dag: Mapping[Any, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node, next in dag.items():
        names = [next] if isinstance(next, str) else next
        if not isinstance(node, str) or not isinstance(names, list):
            raise InvalidDag("dag: has a list of the nodes that follow, for each node.")
        if not all(isinstance(name, str) for name in names):
            raise InvalidDag(f"What follows {brief(node)} in dag: are no names.")
        found[node] = list(dict.fromkeys(names))
    for names in list(found.values()):
        for name in names:
            found.setdefault(name, [])
    if len(found) > _MOST_NODES:
        raise InvalidDag(f"The workflow has {len(found)} nodes; {_MOST_NODES} are the most.")
    return found


def _ordered(successors: Mapping[str, list[str]], parents: Mapping[str, list[str]]) -> list[str]:
    """Return the nodes in an order in which each can run. Raises InvalidDag."""
    if sum(not before for before in parents.values()) != 1:
        raise InvalidDag("DAG should have only one start node")
    order: list[str] = []
    waiting = {node: len(before) for node, before in parents.items()}
    ready = [node for node, count in waiting.items() if not count]
    while ready:
        node = ready.pop(0)
        order.append(node)
        for name in successors[node]:
            waiting[name] -= 1
            if not waiting[name]:
                ready.append(name)
    if len(order) < len(successors):
        raise InvalidDag("This is not a valid DAG")
    return order


def _rule(own: Mapping[str, Any], usual: Mapping[str, int], node: str) -> NodeRule:
    numbers = _numbers(own, usual, node)
    is_model = _URL in own
    return NodeRule(
        url=str(own.get(_URL, "")),
        workers=numbers["max-workers"] if is_model else 1,
        batch_size=numbers["batch-size"] if is_model else 1,
        max_batch_delay_ms=numbers["max-batch-delay"],
        attempts=1 + numbers["retry-attempts"],
        timeout_s=numbers["timeout-ms"] / 1000,
    )


def _numbers(given: Mapping[str, Any], usual: Mapping[str, int], where: str) -> dict[str, int]:
    found = {}
    for key, (default, least, most) in _NUMBERS.items():
        value = given.get(key, usual.get(key, default))
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidWorkflow(
                f"{key} of {brief(where)} must be a whole number from {least} to {most}, not {brief(value)}."
            )
        found[key] = value
    return found
