"""What a function has run before its graph or model is made, in each of its processes."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.graph.lookup import find_handler
from mms.interfaces.mlrun.load import ServingLoad
from mms.interfaces.mlrun.model.context import GraphContext
from mms.wire import Load
from mms.worker.loading.handler_module import import_handler_module

#: Handlers of this server's own and of the package, which hold nothing of the function's.
_NOT_THE_USERS = ("mms.", "mlrun.")


def namespace_of(load: Load) -> dict[str, Any] | None:
    """Return the names of the handler's module; None for a module that is not the user's. Raises whatever it raises."""
    module_part = load.handler.partition(":")[0]
    if not module_part or module_part.startswith(_NOT_THE_USERS):
        return None
    return vars(import_handler_module(module_part))


def run_initializer(load: Load, serving: ServingLoad, context: GraphContext, graph: Any) -> None:
    """Call `graph_initializer`, a name in the handler's module or an importable one, with the server.

    `graph`: what it finds as `server.graph`. Raises GraphError for a name that is nowhere, and what it raises.
    """
    name = serving.graph_initializer
    if not name:
        return
    names = namespace_of(load)
    initialize = find_handler(name, [] if names is None else [names], "graph_initializer")
    server = context.server
    server.graph, server.context = graph, context
    initialize(server)
