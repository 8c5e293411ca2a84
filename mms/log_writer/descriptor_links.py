"""Log files that are links to open files of the process, such as `/proc/self/fd/5`: each process sees its own there."""

from __future__ import annotations

import os
import re

_DESCRIPTOR = re.compile(r"(?:/proc/(?:self|thread-self)|/dev)/fd/([0-9]+)")
#: What a process that writes has, too: standard output and error.
_SHARED = (1, 2)
#: As many links as Linux follows.
_MOST_LINKS = 40


def own_descriptor(path: str | os.PathLike[str]) -> int | None:
    """Return the number of the open file that a path leads to, where only this process has it; else None."""
    step = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        match = _DESCRIPTOR.fullmatch(step)
        if match is not None:
            number = int(match[1])
            return None if number in _SHARED else number
        try:
            target = os.readlink(step)
        except OSError:
            return None
        step = os.path.normpath(os.path.join(os.path.dirname(step), target))
    return None
