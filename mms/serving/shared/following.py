"""Whether what runs does what a cluster has decided, and not what somebody asks of this server."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

#: The cluster need not be told of what it has decided.
IS_FOLLOWING: Final[ContextVar[bool]] = ContextVar("is_following", default=False)
