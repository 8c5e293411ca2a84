"""MLRun's serving contract: model servers, routers, graphs, functions and the harness for tests of them.

The names for people who write and test models are here. Each is imported when it is used, as most models need few.
"""

from __future__ import annotations

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mms.interfaces.mlrun.authoring.function import ServingFunction
    from mms.interfaces.mlrun.authoring.functions import (
        code_to_function,
        deploy_function,
        function_from_dict,
        import_function,
        new_function,
    )
    from mms.interfaces.mlrun.authoring.shim import use_mlrun_shim
    from mms.interfaces.mlrun.errors import GraphError
    from mms.interfaces.mlrun.graph.graph_server import (
        GraphServer,
        create_graph_server,
        nuclio_init_hook,
        v2_serving_handler,
        v2_serving_init,
    )
    from mms.interfaces.mlrun.model.context import GraphContext
    from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger, Response
    from mms.interfaces.mlrun.model.legacy_model_server import MLModelServer
    from mms.interfaces.mlrun.model.model_server import V2ModelServer

__all__ = [
    "GraphContext",
    "GraphError",
    "GraphServer",
    "MLModelServer",
    "MockEvent",
    "MockTrigger",
    "Response",
    "ServingFunction",
    "V2ModelServer",
    "code_to_function",
    "create_graph_server",
    "deploy_function",
    "function_from_dict",
    "import_function",
    "new_function",
    "nuclio_init_hook",
    "use_mlrun_shim",
    "v2_serving_handler",
    "v2_serving_init",
]

_MODULES = {
    "GraphContext": "mms.interfaces.mlrun.model.context",
    "GraphError": "mms.interfaces.mlrun.errors",
    "GraphServer": "mms.interfaces.mlrun.graph.graph_server",
    "MLModelServer": "mms.interfaces.mlrun.model.legacy_model_server",
    "MockEvent": "mms.interfaces.mlrun.model.event",
    "MockTrigger": "mms.interfaces.mlrun.model.event",
    "Response": "mms.interfaces.mlrun.model.event",
    "ServingFunction": "mms.interfaces.mlrun.authoring.function",
    "V2ModelServer": "mms.interfaces.mlrun.model.model_server",
    "code_to_function": "mms.interfaces.mlrun.authoring.functions",
    "create_graph_server": "mms.interfaces.mlrun.graph.graph_server",
    "deploy_function": "mms.interfaces.mlrun.authoring.functions",
    "function_from_dict": "mms.interfaces.mlrun.authoring.functions",
    "import_function": "mms.interfaces.mlrun.authoring.functions",
    "new_function": "mms.interfaces.mlrun.authoring.functions",
    "nuclio_init_hook": "mms.interfaces.mlrun.graph.graph_server",
    "use_mlrun_shim": "mms.interfaces.mlrun.authoring.shim",
    "v2_serving_handler": "mms.interfaces.mlrun.graph.graph_server",
    "v2_serving_init": "mms.interfaces.mlrun.graph.graph_server",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        from mms.interfaces.mlrun.graph.lookup import BUILT_IN

        module = BUILT_IN.get(name)
    if module is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    found = getattr(import_module(module), name)
    # The next time it is there without asking.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    from mms.interfaces.mlrun.graph.lookup import BUILT_IN

    return sorted({*globals(), *_MODULES, *BUILT_IN})
