"""A folder whose archives are the models that are served: what appears in it, changes or goes."""

from mms.serving.watched.model_swap import ModelSwap
from mms.serving.watched.watched_models import watched_models

__all__ = ["ModelSwap", "watched_models"]
