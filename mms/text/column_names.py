"""The names of columns, as requests and fitted models bring them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def column_names(names: Any) -> list[str]:
    """Return the texts of a list, an array, or a container of gRPC; an empty list for anything else."""
    if hasattr(names, "tolist"):
        names = names.tolist()
    if isinstance(names, str) or not isinstance(names, Sequence):
        return []
    return [str(name) for name in names]
