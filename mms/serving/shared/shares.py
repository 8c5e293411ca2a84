"""How many of a model's workers are this front's, and whose its worker is where that is none."""

from __future__ import annotations

from dataclasses import replace

from mms.launch import WorkerSpec
from mms.launch.choice import PEER
from mms.serving.served import PooledModel
from mms.serving.shared.cluster import Cluster
from mms.serving.shared.following import IS_FOLLOWING


class Shares:
    """Of one front. Without a cluster all workers are its own."""

    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster

    def __repr__(self) -> str:
        return f"<Shares of {self._cluster!r}>"

    def __bool__(self) -> bool:
        return self._cluster is not None

    def bounds_of(self, served: PooledModel) -> tuple[int, int]:
        """Return how many workers a model has at this front, at least and at most.

        Where it may have some it has one here, which another front lends if there are too few.
        """
        least, most = served.min_workers, served.max_workers
        if self._cluster is None:
            return least, most
        own = max(self._cluster.share(most, served.name), min(most, 1))
        return min(max(self._cluster.share(least, served.name), min(least, 1)), own), own

    def is_borrowed(self, served: PooledModel) -> bool:
        """Return whether a model's worker at this front is another front's.

        While it is being registered here alone, no other front has it.
        """
        return (
            self._cluster is not None
            and (served.registration is not None or IS_FOLLOWING.get())
            and served.max_workers > 0
            and not self._cluster.share(served.max_workers, served.name)
        )

    def applied_to(self, spec: WorkerSpec, served: PooledModel) -> WorkerSpec:
        """Return what the process of a worker is to be: another front's worker where it is borrowed."""
        return replace(spec, launcher=PEER) if self.is_borrowed(served) else spec
