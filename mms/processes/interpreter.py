"""What a process of the server's own is started with."""

from __future__ import annotations

import os

#: What an interpreter may need to start; the rest of the environment is nothing for these processes.
_NEEDED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")


def needed_environment(*more: str) -> dict[str, str]:
    """Return the variables that an interpreter needs, and `more`, where they are set."""
    names = (*_NEEDED_VARIABLES, *more)
    return {name: os.environ[name] for name in names if name in os.environ}
