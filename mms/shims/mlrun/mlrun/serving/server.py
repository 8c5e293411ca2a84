"""A function in this process, events and contexts."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "GraphServer": "mms.mlrun.graph_server",
        "create_graph_server": "mms.mlrun.graph_server",
        "v2_serving_init": "mms.mlrun.graph_server",
        "v2_serving_handler": "mms.mlrun.graph_server",
        "GraphContext": "mms.mlrun.context",
        "MockEvent": "mms.mlrun.event",
        "MockTrigger": "mms.mlrun.event",
        "Response": "mms.mlrun.event",
    },
)
