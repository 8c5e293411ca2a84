"""The operations on models, tying decisions, workers and archives together."""

from mms.serving.host import ModelHost
from mms.serving.options import Outcome, RegisterOptions
from mms.serving.runner import WorkerEvents
from mms.serving.served import ServedModel

__all__ = ["ModelHost", "Outcome", "RegisterOptions", "ServedModel", "WorkerEvents"]
