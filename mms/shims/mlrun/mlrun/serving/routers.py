"""The classes of routers."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "BaseModelRouter": "mms.mlrun.routers",
        "ModelRouter": "mms.mlrun.routers",
        "ParallelRun": "mms.mlrun.routers",
        "ParallelRunnerModes": "mms.mlrun.executors",
        "VotingEnsemble": "mms.mlrun.voting",
        "EnrichmentModelRouter": "mms.mlrun.enrichment",
        "EnrichmentVotingEnsemble": "mms.mlrun.enrichment",
        "CanaryRouter": "mms.mlrun.traffic_routers",
        "BanditRouter": "mms.mlrun.traffic_routers",
    },
)
