"""The same names: in storey itself the steps are in this module."""

from __future__ import annotations

import sys
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(sys.modules[__name__.partition(".")[0]], name)
