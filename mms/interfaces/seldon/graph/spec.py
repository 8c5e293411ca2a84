"""Reading a graph: a predictor's `graph`, a predictor, or a whole SeldonDeployment, in YAML or JSON.

What cannot be served is refused here, with the name of the node.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mms.interfaces.seldon.graph.manifest import (
    Container,
    GraphError,
    list_of,
    mapping_of,
    not_obeyed,
    read_containers,
    text_of,
)
from mms.interfaces.seldon.graph.node import Builtin, Endpoint, Graph, Node, NodeType
from mms.text.brief import brief
from mms.text.durations import bounded_s
from mms.traffic.bandit import EPSILON_GREEDY, Bandit
from mms.traffic.weights import check_shares

#: Real documents have a few kilobytes.
_MAX_DOCUMENT_BYTES: Final = 1 << 20
_MAX_NODES: Final = 500

_NODE_KEYS: Final = frozenset(
    (
        *("name", "type", "implementation", "methods", "children", "endpoint", "parameters"),
        *("modelUri", "serviceAccountName", "envSecretRefName", "storageInitializerImage"),
        "logger",
    )
)
_NOT_OBEYED: Final = ("serviceAccountName", "envSecretRefName", "storageInitializerImage", "logger")
_METHODS: Final = (
    "TRANSFORM_INPUT",
    "TRANSFORM_OUTPUT",
    "ROUTE",
    "AGGREGATE",
    "SEND_FEEDBACK",
)
_NO_IMPLEMENTATION: Final = "UNKNOWN_IMPLEMENTATION"
_BUILTIN_TYPES: Final = {
    Builtin.SIMPLE_MODEL: NodeType.MODEL,
    Builtin.SIMPLE_ROUTER: NodeType.ROUTER,
    Builtin.RANDOM_ABTEST: NodeType.ROUTER,
    Builtin.AVERAGE_COMBINER: NodeType.COMBINER,
    Builtin.WEIGHTED_ROUTER: NodeType.ROUTER,
    Builtin.BANDIT_ROUTER: NodeType.ROUTER,
}
_DEFAULT_REST_PORT: Final = 9000
_DEFAULT_GRPC_PORT: Final = 9500


def read_graph(text: bytes, predictor: str | None = None) -> Graph:
    """Return the graph of a document.

    `predictor`: the name of the predictor to take; None: the only one, or the first with traffic. Raises GraphError.
    """
    document = _load(text)
    deployment, namespace, spec = _deployment(document)
    if spec is not None:
        _check_protocol(spec)
        chosen = _choose(spec, predictor)
        deployment = deployment or text_of(spec, "name", "spec")
        annotations = mapping_of(spec, "annotations", "spec")
    else:
        chosen = document if "graph" in document else {"graph": document}
        annotations = {}
        found = text_of(chosen, "name", "predictor")
        if predictor is not None and predictor != found:
            raise GraphError(f"The document has no predictor {brief(predictor)}.")
    where = f"predictor {chosen.get('name') or 'without a name'}"
    annotations = {**annotations, **mapping_of(chosen, "annotations", where)}
    containers = read_containers(chosen, where)
    root = _NodeReader(containers).read(chosen.get("graph"))
    return Graph(
        root,
        deployment=deployment,
        namespace=namespace,
        predictor=text_of(chosen, "name", "predictor") or "",
        predictor_version=_version(chosen, annotations, where),
        timeout_s=_timeout_s(annotations),
        not_obeyed=not_obeyed(spec, chosen, containers, root),
    )


def _load(text: bytes) -> dict[str, Any]:
    # Not needed by servers without graphs.
    from mms.text.documents import InvalidDocument, read_yaml_documents

    if len(text) > _MAX_DOCUMENT_BYTES:
        raise GraphError(f"The graph's document is larger than {_MAX_DOCUMENT_BYTES} bytes.")
    try:
        documents = [found for found in read_yaml_documents(text) if found is not None]
    except InvalidDocument as error:
        raise GraphError(f"The graph's document cannot be read: {error}.") from None
    if not documents:
        raise GraphError("The graph's document is empty.")
    for found in documents:
        if not isinstance(found, dict):
            raise GraphError(
                "The graph's document is not a mapping with a name, a graph or a spec."
            )
    deployments: list[dict[str, Any]] = [
        found for found in documents if found.get("kind") == "SeldonDeployment"
    ]
    return deployments[0] if deployments else dict(documents[0])


def _deployment(
    document: Mapping[str, Any],
) -> tuple[str | None, str, Mapping[str, Any] | None]:
    """Return (name, namespace, spec) of a SeldonDeployment, or of its spec alone; no spec for anything else."""
    if "predictors" in document:
        return None, "", document
    if "spec" not in document:
        kind = document.get("kind")
        if kind is not None:
            raise GraphError(f"The document is a {kind}; only a SeldonDeployment is supported.")
        return None, "", None
    metadata = mapping_of(document, "metadata", "document")
    spec = mapping_of(document, "spec", "document")
    if "predictors" not in spec:
        raise GraphError("The deployment's spec has no predictors.")
    name = text_of(metadata, "name", "metadata")
    return name, text_of(metadata, "namespace", "metadata") or "", spec


def _check_protocol(spec: Mapping[str, Any]) -> None:
    protocol = spec.get("protocol") or "seldon"
    if protocol != "seldon":
        raise GraphError(
            f"The deployment's protocol is {brief(protocol)}; only seldon is supported."
        )
    if spec.get("serverType", "rpc") not in ("rpc", "", None):
        raise GraphError(
            f"The deployment's serverType is {brief(spec['serverType'])}; only rpc is supported."
        )


def _choose(spec: Mapping[str, Any], wanted: str | None) -> Mapping[str, Any]:
    predictors = spec["predictors"]
    if not isinstance(predictors, list) or not all(isinstance(p, dict) for p in predictors):
        raise GraphError("predictors must be a list of predictors.")
    if not predictors:
        raise GraphError("The deployment has no predictor.")
    names = [text_of(p, "name", "predictor") or "" for p in predictors]
    counts = Counter(names)
    for name in names:
        if counts[name] > 1:
            raise GraphError(f"The predictor name {brief(name)} is used twice.")
    if wanted is not None:
        if wanted not in names:
            raise GraphError(f"There is no predictor {brief(wanted)}; there is {', '.join(names)}.")
        chosen: Mapping[str, Any] = predictors[names.index(wanted)]
        return chosen
    shares = [_traffic(p, name) for p, name in zip(predictors, names, strict=True)]
    if len(predictors) > 1 and any(shares) and sum(shares) != 100:
        raise GraphError(f"The predictors' traffic sums to {sum(shares)}, not to 100.")
    for found, share in zip(predictors, shares, strict=True):
        if share and not found.get("shadow"):
            return dict(found)
    return dict(next((p for p in predictors if not p.get("shadow")), predictors[0]))


def _traffic(predictor: Mapping[str, Any], name: str) -> int:
    share = predictor.get("traffic") or 0
    if not isinstance(share, int) or isinstance(share, bool) or not 0 <= share <= 100:
        raise GraphError(f"The traffic of predictor {brief(name)} is {brief(share)}, not 0 to 100.")
    return share


def _version(predictor: Mapping[str, Any], annotations: Mapping[str, Any], where: str) -> str:
    labels = mapping_of(predictor, "labels", where)
    return str(annotations.get("version") or labels.get("version") or "")


def _timeout_s(annotations: Mapping[str, Any]) -> float | None:
    """Return the time for each call to a node: the shorter of the annotations for REST and gRPC (milliseconds)."""
    found: list[float] = []
    for name in ("seldon.io/rest-timeout", "seldon.io/grpc-timeout"):
        if name not in annotations:
            continue
        try:
            milliseconds = float(annotations[name])
        except (TypeError, ValueError):
            milliseconds = 0.0
        if not 0 < milliseconds < float("inf"):
            raise GraphError(
                f"The annotation {name} is {brief(annotations[name])}, not a number of milliseconds."
            )
        found.append(bounded_s(milliseconds, 0.001))
    return min(found, default=None)


class _NodeReader:
    """Reads nodes from the top down, so that a name's second use is known by where the first one was."""

    def __init__(self, containers: Mapping[str, Container]) -> None:
        self._containers = containers
        self._names: set[str] = set()

    def read(self, found: Any, above: tuple[str, ...] = ()) -> Node:
        name = self._name(found, above)
        where = f"Node {brief(name)}"
        unknown = sorted(str(key) for key in found if key not in _NODE_KEYS)
        if unknown:
            raise GraphError(
                f"{where} has an unknown member {brief(unknown[0])}; known are {', '.join(sorted(_NODE_KEYS))}."
            )
        builtin, server = _implementation(found, where)
        methods = _methods(found, where)
        kind = _type(found, where, builtin, server, methods)
        path = (*above, name)
        children = tuple(self.read(child, path) for child in list_of(found, "children", where))
        parameters = _parameters(found, where)
        container = self._containers.get(name)
        model_uri = text_of(found, "modelUri", where) or None
        ignored = [key for key in _NOT_OBEYED if found.get(key)]
        if model_uri is not None and server is None:
            # What is fetched belongs to the registration of the node's model.
            ignored.append("modelUri")
        node = Node(
            name,
            kind,
            children,
            builtin=builtin,
            server=server,
            methods=methods,
            endpoint=None if builtin else _endpoint(found, where),
            parameters=parameters,
            model_uri=model_uri,
            not_obeyed=tuple(ignored),
            image=container.image if container is not None else None,
            workers=container.workers if container is not None else None,
        )
        _check_children(node, where)
        return _with_routing_policy(node, where)

    def _name(self, found: Any, above: tuple[str, ...]) -> str:
        place = f"a child of node {brief(above[-1])}" if above else "the graph"
        if not isinstance(found, dict):
            raise GraphError(f"{place.capitalize()} is not a mapping with a name and a type.")
        name = found.get("name")
        if not isinstance(name, str) or not name:
            raise GraphError(f"{place.capitalize()} has no name (a text).")
        if not name.isprintable():
            raise GraphError(
                f"The name {brief(name)} of {place} has a character that cannot be shown."
            )
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            raise GraphError(f"Node {brief(name)} is below itself: {circle}.")
        if name in self._names:
            raise GraphError(f"The node name {brief(name)} is used twice; names must be unique.")
        if len(self._names) >= _MAX_NODES:
            raise GraphError(f"The graph has more than {_MAX_NODES} nodes.")
        self._names.add(name)
        return name


def _implementation(found: Mapping[str, Any], where: str) -> tuple[Builtin | None, str | None]:
    word = text_of(found, "implementation", where)
    if not word or word == _NO_IMPLEMENTATION:
        return None, None
    try:
        return Builtin(word), None
    except ValueError:
        return None, word


def _methods(found: Mapping[str, Any], where: str) -> tuple[str, ...]:
    methods = list_of(found, "methods", where)
    for method in methods:
        if method not in _METHODS:
            raise GraphError(
                f"{where} has the method {brief(method)}; there are {', '.join(_METHODS)}."
            )
    return tuple(methods)


def _type(
    found: Mapping[str, Any],
    where: str,
    builtin: Builtin | None,
    server: str | None,
    methods: tuple[str, ...],
) -> NodeType:
    word = text_of(found, "type", where) or NodeType.UNKNOWN.value
    try:
        kind = NodeType(word)
    except ValueError:
        known = ", ".join(member.value for member in NodeType)
        raise GraphError(f"{where} has the type {brief(word)}; there are {known}.") from None
    if builtin is not None:
        wanted = _BUILTIN_TYPES[builtin]
        if kind not in (NodeType.UNKNOWN, wanted):
            raise GraphError(
                f"{where} is a {kind.value}, but its implementation {builtin.value} is a "
                f"{wanted.value}."
            )
        return wanted
    if kind is NodeType.UNKNOWN and (server is not None or not methods):
        return NodeType.MODEL
    return kind


def _parameters(found: Mapping[str, Any], where: str) -> tuple[dict[str, Any], ...]:
    parameters = list_of(found, "parameters", where)
    for parameter in parameters:
        if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
            raise GraphError(
                f"{where} has a parameter that is not a mapping with name, value, type."
            )
    return tuple(dict(parameter) for parameter in parameters)


def _with_routing_policy(node: Node, where: str) -> Node:
    """Return the node with the weights, or the bandit, of a built-in router. Raises GraphError."""
    given = {parameter["name"]: parameter.get("value") for parameter in node.parameters}
    children = [child.name for child in node.children]
    try:
        if node.builtin is Builtin.RANDOM_ABTEST:
            ratio = _number(given, "ratioA", 0.5, where)
            return replace(node, weights={children[0]: ratio, children[1]: 1 - ratio})
        if node.builtin is Builtin.WEIGHTED_ROUTER:
            weights = given.get("weights")
            if isinstance(weights, str):
                weights = json.loads(weights)
            return replace(node, weights=check_shares(weights, children))
        if node.builtin is Builtin.BANDIT_ROUTER:
            epsilon = _number(given, "epsilon", 0.1, where)
            bandit = Bandit(children, given.get("strategy") or EPSILON_GREEDY, epsilon)
            return replace(node, bandit=bandit)
    except ValueError as error:
        raise GraphError(f"{where}: {error}.") from None
    return node


def _number(given: Mapping[str, Any], name: str, default: float, where: str) -> float:
    """Return a parameter that is a number from 0 to 1."""
    value = given.get(name, default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise GraphError(f"{where} has the {name} {brief(value)}, not a number from 0 to 1.")
    return number


def _endpoint(found: Mapping[str, Any], where: str) -> Endpoint | None:
    """Without a host the endpoint says nothing: the node is a model of this server."""
    endpoint = mapping_of(found, "endpoint", where)
    host = text_of(endpoint, "service_host", where)
    if not host:
        return None
    if any(sign in host for sign in "/?#@ \r\n\t"):
        raise GraphError(f"{where} has the endpoint host {brief(host)}, which is not a host name.")
    kind = text_of(endpoint, "type", where) or "REST"
    if kind not in ("REST", "GRPC"):
        raise GraphError(f"{where} has the endpoint type {brief(kind)}; there are REST and GRPC.")
    is_grpc = kind == "GRPC"
    port = endpoint.get("grpcPort" if is_grpc else "httpPort") or endpoint.get("service_port")
    if port is None:
        port = _DEFAULT_GRPC_PORT if is_grpc else _DEFAULT_REST_PORT
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise GraphError(f"{where} has the endpoint port {brief(port)}, not 1 to 65535.")
    return Endpoint(host.strip("[]"), port, is_grpc)


def _check_children(node: Node, where: str) -> None:
    if node.builtin is not None and node.methods:
        raise GraphError(
            f"{where} is the built-in {node.kind}, which has no method {node.methods[0]}."
        )
    if node.builtin is Builtin.SIMPLE_MODEL and node.children:
        raise GraphError(f"{where} is a SIMPLE_MODEL, which has no children.")
    if node.builtin is Builtin.RANDOM_ABTEST and len(node.children) != 2:
        raise GraphError(
            f"{where} is a RANDOM_ABTEST with {len(node.children)} children; it needs 2."
        )
    if (node.routes or node.aggregates) and not node.children:
        raise GraphError(f"{where} is a {node.kind} without children.")
