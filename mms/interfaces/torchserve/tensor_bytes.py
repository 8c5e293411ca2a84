"""Tensors of torch among results: they are sent as `torch.save` writes them."""

from __future__ import annotations

import io
import sys
from typing import Any


def sendable(value: Any) -> Any:
    """Return a result that can be sent: bytes for a tensor of torch, else the result itself."""
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    if torch is None or tensor is None or not isinstance(value, tensor):
        return value
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
