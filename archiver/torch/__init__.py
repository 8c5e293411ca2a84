"""What `torch-model-archiver` and `torch-workflow-archiver` make, and these two commands."""

from __future__ import annotations

from archiver.torch.model import ModelArchiverConfig, pack_model

__all__ = ["ModelArchiverConfig", "pack_model"]
