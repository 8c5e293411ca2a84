"""A server's part in a cluster: it follows what is registered, and lends workers."""

from __future__ import annotations

from mms.core import Registry
from mms.errors import ServiceUnavailable
from mms.serving.served import ServedModel
from mms.serving.shared.cluster import Cluster
from mms.serving.shared.lending.lending import Lender, Lending
from mms.serving.shared.models import SharedModels
from mms.serving.state.registration_store import RegistrationStore
from mms.serving.watched.model_swap import ModelSwap
from mms.serving.workers.model_workers import ModelWorkers

#: An owner that has died is there again within about that time, in seconds.
_RETRY_AFTER_S = 2


class ClusterFront:
    """Owned by the event loop."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry[ServedModel],
        workers: ModelWorkers,
        swap: ModelSwap,
        store: RegistrationStore,
        lender: Lender,
    ) -> None:
        """`lender`: takes requests of other fronts."""
        self._cluster = cluster
        self._models = SharedModels(cluster, registry, workers, swap, store)
        self._lending = Lending(registry, lender, workers.load_ended)
        cluster.on_lend = self._lending.answering_by(cluster.answer_lend)

    def __repr__(self) -> str:
        return f"<ClusterFront {self._cluster!r}>"

    def start(self) -> None:
        """Follow what the cluster has registered, from now on."""
        self._models.start()

    def close(self) -> None:
        """Follow no more, and lend nothing."""
        self._models.close()
        self._lending.close()

    def check_open(self) -> None:
        """Raises ServiceUnavailable where what is registered cannot be changed now."""
        if not self._cluster.is_owner_there:
            raise ServiceUnavailable(
                "The owner of the cluster's registry does not answer. It is being started anew; predictions go on.",
                retry_after_s=_RETRY_AFTER_S,
            )
