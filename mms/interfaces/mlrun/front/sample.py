"""A request that a model server of MLRun is likely to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms.serving.served import ServedModel


def sample_of(served: ServedModel) -> tuple[str, dict[str, Any]]:
    """Return (no path, a row of numbers)."""
    return "", {"inputs": [[5.1, 3.5, 1.4, 0.2]]}
