"""What a worker is told of a handler of TorchServe's, besides what it is told of every model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mms.wire.messages import Message


@dataclass(slots=True)
class HandlerLoad(Message):
    """The part of `Load` for handlers of TorchServe's."""

    #: Handlers find it among the system properties; those of images open larger ones where it is false.
    limit_max_image_pixels: bool = True
    #: The module of `ts.torch_handler.request_envelope` that requests are unwrapped with; empty: none.
    envelope: str = ""
    #: Metrics that handlers find before they have made any: `type`, `name`, `unit`, `dimensions`.
    metrics: list[dict[str, Any]] = field(default_factory=list)
    #: The headers of a request's sequence: its id, what begins it, and what ends it; empty: the usual ones.
    sequence_headers: list[str] = field(default_factory=list)
    #: Why the load is to fail.
    problem: str = ""
