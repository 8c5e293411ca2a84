"""How much of an answer is read that somebody else's server gives, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

#: What such an answer is needed for is its first words.
MOST_BYTES = 64 << 10


class BodyStart(NamedTuple):
    """The first bytes of an answer's body; `is_whole`: there are no more."""

    data: bytes
    is_whole: bool


def read_start(
    read1: Callable[[int], bytes], deadline: float, *, most_bytes: int = MOST_BYTES
) -> BodyStart:
    """Return the start of a body that may have no end: `most_bytes` at most, and what comes until `deadline`.

    `read1`: waits for some bytes, as that of `http.client.HTTPResponse`. `deadline`: of the monotonic clock; what
    `read1` waits for once may come later by its own timeout. Raises what `read1` raises.
    """
    data = bytearray()
    while len(data) < most_bytes and time.monotonic() < deadline:
        chunk = read1(most_bytes - len(data))
        if not chunk:
            return BodyStart(bytes(data), True)
        data += chunk
    return BodyStart(bytes(data), False)
