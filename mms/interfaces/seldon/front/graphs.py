"""The graphs among a host's models: found in archives, checked against the models there are, and guarded."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial

from archiver import InvalidComponent, checked_parameters
from archiver.component import PREPACKAGED
from mms.errors import BadRequest, Conflict, InvalidModel
from mms.interfaces import AUTO
from mms.interfaces.seldon.front.deployed_unit import DeployedUnit
from mms.interfaces.seldon.front.graph_calls import NodeCalls
from mms.interfaces.seldon.front.graph_metrics import GraphMetrics
from mms.interfaces.seldon.front.graph_remote import RemoteCalls, check_endpoints
from mms.interfaces.seldon.front.graph_service import GraphService
from mms.interfaces.seldon.graph import Graph, Node, read_graph
from mms.interfaces.seldon.interface import SELDON
from mms.interfaces.seldon.settings import SeldonSettings
from mms.limits.networks import Networks
from mms.serving.options import RegisterOptions
from mms.serving.registration.composites import HostOperations, composite_members, name_of_composite
from mms.serving.registration.pipeline import CompositeFactory, Registration
from mms.serving.served import DependencyMissing, PooledModel, ServedModel
from mms.text.brief import brief

logger = logging.getLogger("mms.serving")


class NodeMissing(DependencyMissing):
    """A node of a graph is no model of this server."""


class Graphs(CompositeFactory):
    """Owner of what graphs share. Called on the event loop."""

    def __init__(self, host: HostOperations) -> None:
        settings = host.settings
        self.metrics = GraphMetrics()
        self.collectors = (self.metrics,)
        self._settings = settings
        self._registry = host.registry
        self._client = host.client
        self._register = host.register
        self._discard = host.discard
        self._sources = host.sources
        #: By what the names of their endpoints may lead to.
        self._remote: dict[Networks, RemoteCalls] = {}
        #: Of models that a graph has for nodes, what they are there.
        self._nodes: dict[str, DeployedUnit] = {}
        self._has_routing = not settings.of(SeldonSettings).seldon_strict or bool(
            host.environ.get("SELDON_ENABLE_ROUTING_INJECTION")
        )

    def __repr__(self) -> str:
        return f"<Graphs {[service.name for service in self._services()]}>"

    def _services(self) -> list[GraphService]:
        return [served for served in self._registry.askers() if isinstance(served, GraphService)]

    # Registration

    async def make(self, registration: Registration) -> ServedModel | None:
        """Return a graph that can be registered as it is, the pre-packaged servers among its nodes registered already.

        Raises InvalidModel (GraphError, NodeMissing), BadRequest, Conflict, and what the registration of a node raises.
        """
        document, options, archive = (
            registration.document,
            registration.options,
            registration.archive,
        )
        if document is None:
            return None
        if options.tracking:
            raise BadRequest("A graph has no records of its own: track the models of its nodes.")
        text = await asyncio.to_thread(document.read_bytes)
        graph = await asyncio.to_thread(read_graph, text, options.value_of("predictor"))
        name = name_of_composite(registration, graph.deployment, graph.predictor)
        sources = self._sources.of_operator if options.is_from_operator else self._sources
        check_endpoints(graph, sources)
        self.check_name(name)
        servers = [node for node in graph.nodes() if self._is_to_be_registered(name, node)]
        self._check_servers(name, [node for node in graph.nodes() if node not in servers])
        self._check_nodes(name, [node for node in graph.nodes() if node not in servers])
        await self._register_servers(name, servers, options, registration.parts)
        if graph.not_obeyed:
            logger.warning(
                "Graph %s: this server does not use these parts of its document: %s.",
                *(name, ", ".join(graph.not_obeyed)),
            )
        calls = NodeCalls(
            name,
            graph,
            self._client,
            self._remote_for(graph, sources.endpoint_networks),
            self.metrics,
        )
        return GraphService(
            **composite_members(
                *(self._settings, archive, options),
                # It speaks Seldon's protocol, so it has all routes of a component.
                interface=SELDON.name,
                name=name,
                handler=document.name,
            ),
            has_parts=bool(servers),
            graph=graph,
            calls=calls,
            metrics=self.metrics,
            is_strict=self._settings.of(SeldonSettings).seldon_strict,
            has_routing=self._has_routing,
            check_nodes=partial(self._check_nodes, name, graph.nodes()),
        )

    def check_name(self, name: str) -> None:
        """Raise Conflict for a graph whose name another graph uses as a node's."""
        for service in self._services():
            for node in service.graph.nodes():
                if node.is_local and name in (node.name, f"{service.name}.{node.name}"):
                    raise Conflict(
                        f"Model {name} is a node of the graph {service.name}, and a graph cannot "
                        "be a node of another graph."
                    )

    def _is_to_be_registered(self, name: str, node: Node) -> bool:
        """Return whether a pre-packaged server becomes the model `<graph>.<node>`: unless there is one already."""
        return _has_server(node) and f"{name}.{node.name}" not in self._names()

    def _check_servers(self, name: str, nodes: list[Node]) -> None:
        """Raise Conflict where a pre-packaged server that is there already serves other files than the graph says."""
        for node in filter(_has_server, nodes):
            model = f"{name}.{node.name}"
            wanted = (_prepackaged(node), node.model_uri)
            for served in self._registry.versions(model):
                component = served.options.component
                found = (component.prepackaged, component.model_uri)
                if component.prepackaged is None:
                    logger.warning(
                        "Graph %s: the model %s is registered already, so that implementation and modelUri of the node "
                        "have no effect.",
                        *(name, model),
                    )
                elif found != wanted:
                    raise Conflict(
                        f"Model {model} is registered already, as {found[0]} of {found[1]}, and the graph's document "
                        f"says {wanted[0]} of {wanted[1]}. Unregister it first: DELETE /models/{model}."
                    )

    async def _register_servers(
        self, name: str, nodes: list[Node], options: RegisterOptions, undo: AsyncExitStack
    ) -> None:
        """Register pre-packaged servers.

        They stay when the graph is unregistered: they may have been scaled, and loading them took its time.
        """
        part = options.of_part()
        for node in nodes:
            served, _ = await self._register(
                part.with_values(
                    prepackaged=_prepackaged(node),
                    model_name=f"{name}.{node.name}",
                    model_uri=node.model_uri,
                    parameters=node.parameters,
                    initial_workers=part.initial_workers if node.workers is None else node.workers,
                )
            )
            undo.push_async_callback(self._discard_server, served)

    async def _discard_server(self, served: ServedModel) -> None:
        """Remove a server whose graph could not be registered, unless another graph uses it by now."""
        if not any(service.uses(served.name) for service in self._services()):
            await self._discard(served)

    def _names(self) -> set[str]:
        return {served.name for served in self._registry.all()}

    def _check_nodes(self, name: str, nodes: list[Node]) -> None:
        names = self._names()
        for node in nodes:
            if not node.is_local:
                continue
            model = f"{name}.{node.name}"
            if model not in names:
                model = node.name
            if model == name:
                raise InvalidModel(
                    f"Node {brief(node.name)} has the name of its graph; give the graph another name, "
                    f"or register the node's model as {name}.{node.name}."
                )
            if model not in names:
                raise NodeMissing(_missing(name, node))
            if any(served.is_composite for served in self._registry.versions(model)):
                raise InvalidModel(
                    f"Node {brief(node.name)} is itself a graph; write its nodes into this graph."
                )
            self._check_parameters(name, node, model)

    def _check_parameters(self, name: str, node: Node, model: str) -> None:
        """Raise InvalidModel for parameters that are none, Conflict where another graph has others for the model."""
        try:
            checked_parameters([dict(parameter) for parameter in node.parameters])
        except InvalidComponent as error:
            raise InvalidModel(f"Node {brief(node.name)}: {error}.") from None
        is_without = any(not _is_component(s) for s in self._registry.versions(model))
        if node.parameters and is_without:
            raise InvalidModel(
                f"Node {brief(node.name)} has parameters, but the model {model} takes none: it is not a component."
            )
        for service in self._services():
            for other in service.graph.nodes():
                is_same = other.is_local and service.calls.model_of(other) == model
                if is_same and service.name != name and other.parameters != node.parameters:
                    raise Conflict(
                        f"Node {brief(node.name)} has other parameters than the graph {service.name} has for the "
                        f"model {model}; register the model once more as {name}.{node.name}."
                    )

    # Nodes' workers

    def assign(self) -> list[PooledModel]:
        """Tell models which nodes they are by now. Returns those whose workers have to be started anew for it.

        A node that is a model of its own name, without parameters of its graph, is what it is alone: a graph that comes
        or goes costs it nothing.
        """
        nodes: dict[str, DeployedUnit] = {}
        for service in self._services():
            graph = service.graph
            for node in graph.nodes():
                if not node.is_local:
                    continue
                model = service.calls.model_of(node)
                if node.parameters or model != node.name:
                    nodes.setdefault(
                        model,
                        DeployedUnit(
                            node.name,
                            graph.deployment or service.name,
                            graph.predictor,
                            graph.predictor_version,
                            node.image,
                            node.parameters,
                            is_node=True,
                        ),
                    )
        changed = []
        models, self._nodes = {**nodes, **self._nodes}, nodes
        there = [name for name in models if self._registry.has_name(name)]
        for served in [each for name in there for each in self._registry.versions(name)]:
            if not isinstance(served, PooledModel) or not _is_component(served):
                continue
            node_now = nodes.get(served.name)
            if node_now == served.node:
                continue
            before = served.parameters
            served.node = node_now
            # The server's own classes read nothing of the environment.
            if served.options.component.prepackaged is None or served.parameters != before:
                changed.append(served)
        return changed

    def owned_nodes(self, served: ServedModel) -> list[PooledModel]:
        """Return the models that have become nodes of this graph."""
        return [
            model
            for model in self._registry.all()
            if served.uses(model.name) and isinstance(model, PooledModel) and model.node is not None
        ]

    def _remote_for(self, graph: Graph, networks: Networks) -> RemoteCalls | None:
        if all(node.endpoint is None for node in graph.nodes()):
            return None
        remote = self._remote.get(networks)
        if remote is None:
            settings = self._settings
            remote = self._remote[networks] = RemoteCalls(
                settings.max_response_size, settings.response_timeout_s, networks
            )
        return remote

    # The end

    async def close(self) -> None:
        for remote in self._remote.values():
            await remote.close()


def _is_component(served: ServedModel) -> bool:
    return served.interface in (AUTO, SELDON.name)


def _has_server(node: Node) -> bool:
    return node.server is not None and node.is_local and node.model_uri is not None


def _prepackaged(node: Node) -> str:
    """Return the server that an `implementation` names, such as sklearn for SKLEARN_SERVER. Raises InvalidModel."""
    word = (node.server or "").removesuffix("_SERVER").lower()
    if word not in PREPACKAGED:
        known = ", ".join(f"{found.upper()}_SERVER" for found in PREPACKAGED)
        raise InvalidModel(
            f"Node {brief(node.name)} has the implementation {node.server}; there are {known}."
        )
    return word


def _missing(graph: str, node: Node) -> str:
    told = f"Node {brief(node.name)} of the graph {graph} is not a model of this server"
    if node.server is not None:
        return f"{told}, and it has no modelUri from which {node.server} could load one."
    return f"{told}; register {node.name} (or {graph}.{node.name}) first, or give it an endpoint."
