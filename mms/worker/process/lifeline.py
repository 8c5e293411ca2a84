"""A connection whose end kills this process with all of its group, whatever their code does.

The kernel sends the signal when the front's end is closed, and needs no thread of ours to run for it: native code that
never gives the interpreter's lock back ends, too, and so does a process that was stopped.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys

from mms.wire import ROLE_LIFELINE
from mms.worker.connection import connect


def hold_lifeline(address: str, secret: str) -> None:
    """Dial the front by a connection that it never writes to. Raises OSError where the front is gone.

    Only on Linux; elsewhere the control connection has to do.
    """
    if sys.platform != "linux" or not address.startswith("unix:"):
        return
    connection = connect(address, secret, ROLE_LIFELINE)
    # A negative number is a group.
    owner = -os.getpid() if os.getpgid(0) == os.getpid() else os.getpid()
    fcntl.fcntl(connection, fcntl.F_SETOWN, owner)
    fcntl.fcntl(connection, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)
