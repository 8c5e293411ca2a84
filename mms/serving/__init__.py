"""The operations on models, tying decisions, workers and archives together; and MLRun's harness for tests of models.

The names are imported when they are used: those who test a model need nothing of the server, and it nothing of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms.mlrun.context import GraphContext
    from mms.mlrun.errors import GraphError
    from mms.mlrun.event import MockEvent, MockTrigger, Response
    from mms.mlrun.function import ServingFunction
    from mms.mlrun.functions import (
        code_to_function,
        deploy_function,
        function_from_dict,
        import_function,
        new_function,
    )
    from mms.mlrun.graph_server import (
        GraphServer,
        create_graph_server,
        nuclio_init_hook,
        v2_serving_handler,
        v2_serving_init,
    )
    from mms.mlrun.legacy_model_server import MLModelServer
    from mms.mlrun.model_server import V2ModelServer
    from mms.mlrun.shim import use_mlrun_shim
    from mms.serving.host import ModelHost
    from mms.serving.options import Outcome, RegisterOptions
    from mms.serving.runner import WorkerEvents
    from mms.serving.served import ServedModel

__all__ = [
    "GraphContext",
    "GraphError",
    "GraphServer",
    "MLModelServer",
    "MockEvent",
    "MockTrigger",
    "ModelHost",
    "Outcome",
    "RegisterOptions",
    "Response",
    "ServedModel",
    "ServingFunction",
    "V2ModelServer",
    "WorkerEvents",
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
    "GraphContext": "mms.mlrun.context",
    "GraphError": "mms.mlrun.errors",
    "GraphServer": "mms.mlrun.graph_server",
    "MLModelServer": "mms.mlrun.legacy_model_server",
    "MockEvent": "mms.mlrun.event",
    "MockTrigger": "mms.mlrun.event",
    "ModelHost": "mms.serving.host",
    "Outcome": "mms.serving.options",
    "RegisterOptions": "mms.serving.options",
    "Response": "mms.mlrun.event",
    "ServedModel": "mms.serving.served",
    "ServingFunction": "mms.mlrun.function",
    "V2ModelServer": "mms.mlrun.model_server",
    "WorkerEvents": "mms.serving.runner",
    "code_to_function": "mms.mlrun.functions",
    "create_graph_server": "mms.mlrun.graph_server",
    "deploy_function": "mms.mlrun.functions",
    "function_from_dict": "mms.mlrun.functions",
    "import_function": "mms.mlrun.functions",
    "new_function": "mms.mlrun.functions",
    "nuclio_init_hook": "mms.mlrun.graph_server",
    "use_mlrun_shim": "mms.mlrun.shim",
    "v2_serving_handler": "mms.mlrun.graph_server",
    "v2_serving_init": "mms.mlrun.graph_server",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        from mms.mlrun.lookup import BUILT_IN

        module = BUILT_IN.get(name)
    if module is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    found = getattr(import_module(module), name)
    # The next time it is there without asking.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    from mms.mlrun.lookup import BUILT_IN

    return sorted({*globals(), *_MODULES, *BUILT_IN})
