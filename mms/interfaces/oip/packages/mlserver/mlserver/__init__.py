"""What models for MLServer import, by the same names: the base of models, their settings, requests and codecs.

Source: MLServer's documentation, "Custom Inference Runtimes" and "Content Types", and its source of 1.7.
"""

from __future__ import annotations

from .metrics import log, register, take_updates
from .model import MLModel
from .settings import ModelSettings

__version__ = "1.7.1"

__all__ = ["MLModel", "ModelSettings", "__version__", "log", "register", "take_updates"]
