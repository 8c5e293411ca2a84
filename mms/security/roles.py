"""What a key may do."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """A part of the server. None includes another; who registers models runs code, and so can do all there is."""

    INFERENCE = "inference"
    MANAGEMENT = "management"
    METRICS = "metrics"


ROLE_NAMES = tuple(role.value for role in Role)
