"""The steps of graphs."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "MAX_ALLOWED_STEPS": "mms.mlrun.steps:MAX_STEPS",
        "GraphError": "mms.mlrun.errors",
        "GraphContext": "mms.mlrun.context",
        "StepKinds": "mms.mlrun.steps",
        "BaseStep": "mms.mlrun.steps",
        "TaskStep": "mms.mlrun.task_step",
        "ErrorStep": "mms.mlrun.task_step",
        "RouterStep": "mms.mlrun.router_step",
        "QueueStep": "mms.mlrun.queue_step",
        "FlowStep": "mms.mlrun.flow",
        "RootFlowStep": "mms.mlrun.flow",
    },
)
