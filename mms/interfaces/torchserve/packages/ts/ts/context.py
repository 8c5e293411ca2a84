"""The context that handlers are called with."""

from __future__ import annotations

from mms.interfaces.torchserve.context import Context as Context
from mms.interfaces.torchserve.context import RequestProcessor as RequestProcessor
