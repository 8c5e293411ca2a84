"""How many files this process may have open."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> int:
    """Take as many file descriptors as the process may give itself. Returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS has a lower bound of its own than the one that it tells.
            return soft
    return hard


def connections_for(descriptors: int) -> int:
    """Return how many clients may be connected, so that there is room for workers, logs and archives, too."""
    return descriptors * 3 // 4
