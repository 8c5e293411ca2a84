"""The keeper of a process: its parent, which adopts what it leaves behind, reaps it, and ends it with the process.

On Linux, where a process can adopt. Elsewhere what a process leaves has no parent of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import NoReturn

from mms.processes import prctl
from mms.processes.tree import kill_children

#: How long what is left may take to end, in seconds. What a keeper leaves the supervisor has then.
_END_S = 10.0
_LOOK_S = 0.005


def become_subreaper() -> None:
    prctl.set_option(prctl.CHILD_SUBREAPER, 1)


def adopt_no_more() -> None:
    """What is adopted already stays."""
    prctl.set_option(prctl.CHILD_SUBREAPER, 0)


def keep(pid: int, *, kills_rest: bool = True) -> int:
    """Wait for the end of a child, and end what it left. Returns its exit code, a negative one for a signal."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            break
    if kills_rest:
        end_children()
    return os.waitstatus_to_exitcode(status)


def end_children() -> None:
    """Kill the children of this process and all below them, and wait until they are gone: ten seconds at most."""
    give_up_at = time.monotonic() + _END_S
    before: set[int] = set()
    # In the ordinary case there are no children any more, and nothing is looked for.
    while _has_children() and time.monotonic() < give_up_at:
        killed = kill_children()
        if killed == before:
            time.sleep(_LOOK_S)
        # Where some are new there is no pause: one that starts the next one and ends, over and over, would be ahead.
        before = killed


def end_like(code: int) -> NoReturn:
    """End this process as another one did."""
    if code < 0:
        with contextlib.suppress(OSError, ValueError):
            if -code != signal.SIGKILL:
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
    os._exit(code if 0 <= code < 256 else 1)


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True
