"""What TorchServe's configuration is here: its keys, and how it comes together."""

from __future__ import annotations

from mms.interfaces.torchserve.settings.dialect import DIALECT
from mms.interfaces.torchserve.settings.options import TorchServeSettings

__all__ = ["DIALECT", "TorchServeSettings"]
