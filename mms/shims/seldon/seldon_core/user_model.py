"""The base class of components and the response with tags and metrics."""

from __future__ import annotations

import os

from mms.seldon.errors import SeldonMicroserviceException, SeldonNotImplementedError
from mms.seldon.user_model import SeldonComponent, SeldonResponse

INCLUDE_METRICS_IN_CLIENT_RESPONSE = (
    os.environ.get("INCLUDE_METRICS_IN_CLIENT_RESPONSE", "true").lower() == "true"
)

__all__ = [
    "INCLUDE_METRICS_IN_CLIENT_RESPONSE",
    "SeldonComponent",
    "SeldonMicroserviceException",
    "SeldonNotImplementedError",
    "SeldonResponse",
]
