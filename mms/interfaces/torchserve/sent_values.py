"""Values of handlers as they are sent: tensors of torch as `torch.save` writes them, parts of an answer as JSON."""

from __future__ import annotations

import io
import json
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


def part_of(value: Any) -> Any:
    """Return what is sent of a value for a part of an answer; None: no part. Raises what `json.dumps` raises.

    JSON is indented, as that of a whole answer is.
    """
    value = sendable(value)
    if value is None or isinstance(value, str | bytes | bytearray):
        return value
    return json.dumps(value, indent=2)
