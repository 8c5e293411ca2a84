"""Connections that clients have opened, and a listener that is to close has not taken yet.

Closing a listening socket resets them, though the clients have sent their requests.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from mms.limits.connections import catch_up

#: For how long connections are still taken, in seconds.
_MOST_S = 0.5


async def take_backlog(
    sockets: Sequence[Any], is_shaking: Callable[[], bool] = lambda: False
) -> None:
    """Return once the loop has taken what waits in the backlogs, or the time for it is over.

    `sockets`: with a listener that is open. `is_shaking`: whether handshakes are under way.
    """
    until = time.monotonic() + _MOST_S
    waiting = select.poll()
    for listening in sockets:
        _let_no_more_in(listening)
        waiting.register(listening.fileno(), select.POLLIN)
    while time.monotonic() < until and (waiting.poll(0) or is_shaking()):
        await catch_up()


def _let_no_more_in(listening: Any) -> None:
    """Make the backlog as short as can be: else it may never be empty."""
    # Event loops show sockets that cannot be changed. The copy is of the same one.
    with socket.socket(fileno=os.dup(listening.fileno())) as copy:
        copy.listen(0)
