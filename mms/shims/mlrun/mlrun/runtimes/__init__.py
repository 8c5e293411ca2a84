"""Functions that serve."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

__getattr__, __dir__ = offer(
    __name__,
    {
        "nuclio_init_hook": "mms.mlrun.graph_server",
        "ServingRuntime": "mms.mlrun.function:ServingFunction",
        "nuclio": ".runtimes.nuclio",
    },
)
