"""TorchServe's name for what goes into an archive."""

from __future__ import annotations

from archiver.torch import ModelArchiverConfig

__all__ = ["ModelArchiverConfig"]
