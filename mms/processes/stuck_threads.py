"""The end of a process whose threads may never end."""

from __future__ import annotations

import os
import threading
import time

#: What threads get to end by themselves once all else has, in seconds.
_THREADS_S = 1.0


def end_stuck_threads(code: int) -> None:
    """End the process where a thread does not: a read from a network file system may never return."""
    stuck = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    deadline = time.monotonic() + _THREADS_S
    for thread in stuck:
        thread.join(max(deadline - time.monotonic(), 0))
    if any(thread.is_alive() for thread in stuck):
        os._exit(code)
