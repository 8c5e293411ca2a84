"""Model servers, routers, graphs and what tests of them use."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

__getattr__, __dir__ = offer(
    __name__,
    {
        "V2ModelServer": "mms.mlrun.model_server",
        "MLModelServer": "mms.mlrun.legacy_model_server",
        "GraphServer": "mms.mlrun.graph_server",
        "create_graph_server": "mms.mlrun.graph_server",
        "v2_serving_init": "mms.mlrun.graph_server",
        "v2_serving_handler": "mms.mlrun.graph_server",
        "GraphContext": "mms.mlrun.context",
        "MockEvent": "mms.mlrun.event",
        "MockTrigger": "mms.mlrun.event",
        "Response": "mms.mlrun.event",
        "BaseModelRouter": "mms.mlrun.routers",
        "ModelRouter": "mms.mlrun.routers",
        "ParallelRun": "mms.mlrun.routers",
        "VotingEnsemble": "mms.mlrun.voting",
        "EnrichmentModelRouter": "mms.mlrun.enrichment",
        "EnrichmentVotingEnsemble": "mms.mlrun.enrichment",
        "CanaryRouter": "mms.mlrun.traffic_routers",
        "BanditRouter": "mms.mlrun.traffic_routers",
        "GraphError": "mms.mlrun.errors",
        "TaskStep": "mms.mlrun.task_step",
        "ErrorStep": "mms.mlrun.task_step",
        "RouterStep": "mms.mlrun.router_step",
        "QueueStep": "mms.mlrun.queue_step",
        "FlowStep": "mms.mlrun.flow",
        "RootFlowStep": "mms.mlrun.flow",
        "RemoteStep": "mms.mlrun.remote_step",
        "BatchHttpRequests": "mms.mlrun.batch_http",
        "Merge": "mms.mlrun.merge",
        "v2_serving": ".serving.v2_serving",
        "v1_serving": ".serving.v1_serving",
        "routers": ".serving.routers",
        "server": ".serving.server",
        "states": ".serving.states",
        "utils": ".serving.utils",
        "remote": ".serving.remote",
        "merger": ".serving.merger",
        "serving_wrapper": ".serving.serving_wrapper",
    },
)
