"""What is served follows files: a folder of archives, a file that says which models are to be there, a model's own."""

from mms.serving.watched.model_swap import ModelSwap
from mms.serving.watched.watched import Watched

__all__ = ["ModelSwap", "Watched"]
