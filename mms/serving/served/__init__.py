"""The models that the server serves: those with workers, and those that ask others."""

from mms.serving.served.composite_model import CompositeModel, DependencyMissing
from mms.serving.served.dormant_model import DormantModel
from mms.serving.served.pooled_model import PooledModel, pooled_models, with_workers
from mms.serving.served.served_model import ServedModel

__all__ = [
    "CompositeModel",
    "DependencyMissing",
    "DormantModel",
    "PooledModel",
    "ServedModel",
    "pooled_models",
    "with_workers",
]
