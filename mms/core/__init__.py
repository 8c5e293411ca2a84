"""The decisions: registry, queues, batching, dispatch, pools. Synchronous; no sockets, no HTTP; time is passed in."""

from mms.core.batch_record import batch_record
from mms.core.chosen_policy import ChosenPolicy
from mms.core.config import QUEUE_BYTES, QUEUE_CAPACITY, ModelConfig, ModelStatistics
from mms.core.ids import clients_request_id, new_request_id
from mms.core.model import ModelVersion
from mms.core.pool import Pool
from mms.core.registry import Registry
from mms.core.request import Reply, Request
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
    "Worker",
    "WorkerState",
    "batch_record",
    "clients_request_id",
    "new_request_id",
]
