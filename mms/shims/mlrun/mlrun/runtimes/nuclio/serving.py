"""Functions that serve."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "serving_subkind": "mms.mlrun.graph_server:SERVING_SUBKIND",
        "ServingRuntime": "mms.mlrun.function:ServingFunction",
    },
)
