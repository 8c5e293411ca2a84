"""What commands ask of a cluster: a connection to Ray, and calls of the cluster's owner."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any, Final

from mms.cluster.front_host import OWNER
from mms.text.brief import brief

#: What the owner gets to answer, in seconds: it may just be started anew.
_ANSWER_S: Final = 30.0
#: What a head gets to take a connection, in seconds.
_REACH_S: Final = 5.0


class ClusterError(Exception):
    """The message says what is wrong with a cluster, and what helps."""


class NoCluster(ClusterError):
    """There is none of that name, or Ray cannot be reached."""


def _check_reachable(ray_address: str) -> None:
    """Raise NoCluster where nobody listens: Ray would try for more than a minute."""
    host, colon, port = ray_address.rpartition(":")
    if not colon or "/" in ray_address or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, OverflowError) as error:
        raise NoCluster(
            f"nobody answers at {brief(ray_address)}, which --ray-address says is the head of Ray's cluster: {error}"
        ) from None


class ClusterConnection:
    """A process has one at a time. To be used in a `with`."""

    def __init__(self, ray_address: str, name: str) -> None:
        """Raises NoCluster where Ray cannot be reached."""
        _check_reachable(ray_address)
        try:
            import ray
        except ImportError as error:
            raise NoCluster(
                f'the package ray cannot be imported ({error}): pip install "marserve[ray]"'
            ) from None
        self._ray = ray
        self.name = name
        self.namespace = f"mms-cluster-{name}"
        # Ray writes to a terminal what it thinks of it.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            ray.init(
                address=ray_address,
                namespace=self.namespace,
                logging_level=logging.ERROR,
                log_to_driver=False,
                configure_logging=False,
            )
        except Exception as error:
            said = " ".join(str(error).split())
            raise NoCluster(
                f"no cluster of Ray at {ray_address}: {said[:300]} `ray start --head` begins one"
            ) from None

    def __enter__(self) -> ClusterConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def begin(self, journal: str | None) -> None:
        """Have an owner. Raises ClusterError where there is one that keeps another journal."""
        from mms.cluster.owner import Owner

        self._ray.remote(Owner).options(
            name=OWNER,
            namespace=self.namespace,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=-1,
            max_concurrency=1000,
        ).remote(self.namespace, journal)
        kept = self.call("status")["stateFile"]
        if journal is not None and kept != journal:
            raise ClusterError(
                f"the cluster {self.name} keeps what is registered in {kept or 'no file'}, not in {journal}: "
                "`mms cluster down` first"
            )

    def call(self, method: str, *arguments: Any, timeout_s: float = _ANSWER_S) -> Any:
        """Ask the owner. Raises NoCluster where there is none, ClusterError for what it says."""
        try:
            owner = self._ray.get_actor(OWNER, namespace=self.namespace)
        except ValueError:
            raise NoCluster(
                f"there is no cluster named {self.name}: `mms cluster up` starts one"
            ) from None
        try:
            return self._ray.get(getattr(owner, method).remote(*arguments), timeout=timeout_s)
        except self._ray.exceptions.GetTimeoutError:
            raise ClusterError(
                f"the owner of the cluster {self.name} did not answer within {timeout_s:g} seconds"
            ) from None
        except self._ray.exceptions.RayTaskError as error:
            raise ClusterError(str(error.cause)) from None
        except self._ray.exceptions.RayError as error:
            raise ClusterError(f"the owner cannot be reached: {error}") from None

    def end(self) -> None:
        """End the owner, for good."""
        self._ray.kill(self._ray.get_actor(OWNER, namespace=self.namespace), no_restart=True)

    def node_count(self) -> int:
        return sum(1 for node in self._ray.nodes() if node.get("Alive"))
