"""What TorchServe's configuration is here: its keys, and how it comes together."""

from __future__ import annotations

from mms.interfaces.torchserve.settings.dialect import DIALECT, is_management_safe
from mms.interfaces.torchserve.settings.options import TorchServeSettings

__all__ = ["DIALECT", "TorchServeSettings", "is_management_safe"]
