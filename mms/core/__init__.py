"""The decisions: registry, queues, batching, dispatch, pools. Synchronous; no sockets, no HTTP; time is passed in.

The names are imported when they are used: commands need the table of batching policies, and nothing else of the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mms.lazy_names import lazy_name

if TYPE_CHECKING:
    from mms.core.chosen_policy import ChosenPolicy
    from mms.core.config import QUEUE_BYTES, QUEUE_CAPACITY, ModelConfig, ModelStatistics
    from mms.core.ids import clients_request_id, new_request_id
    from mms.core.model import ModelVersion
    from mms.core.pool import Pool
    from mms.core.registry import Registry
    from mms.core.request import Reply, Request
    from mms.core.sequences.version import SequencedVersion
    from mms.core.worker import Batch, Worker, WorkerState

__all__ = [
    "QUEUE_BYTES",
    "QUEUE_CAPACITY",
    "Batch",
    "ChosenPolicy",
    "ModelConfig",
    "ModelStatistics",
    "ModelVersion",
    "Pool",
    "Registry",
    "Reply",
    "Request",
    "SequencedVersion",
    "Worker",
    "WorkerState",
    "clients_request_id",
    "new_request_id",
]

_MODULES = {
    "Batch": "mms.core.worker",
    "ChosenPolicy": "mms.core.chosen_policy",
    "ModelConfig": "mms.core.config",
    "ModelStatistics": "mms.core.config",
    "ModelVersion": "mms.core.model",
    "Pool": "mms.core.pool",
    "QUEUE_BYTES": "mms.core.config",
    "QUEUE_CAPACITY": "mms.core.config",
    "Registry": "mms.core.registry",
    "Reply": "mms.core.request",
    "Request": "mms.core.request",
    "SequencedVersion": "mms.core.sequences.version",
    "Worker": "mms.core.worker",
    "WorkerState": "mms.core.worker",
    "clients_request_id": "mms.core.ids",
    "new_request_id": "mms.core.ids",
}


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, name, _MODULES)
