"""Which processes come from which, as Linux's `/proc` shows them, and ending whole families of them.

Where there is no `/proc` nobody is below anybody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection

#: How long processes may go on starting others while they are being stopped, in seconds.
_STOP_S = 2.0
#: Nobody looks further up from a process than this.
_MAX_DEPTH = 4096


class Processes:
    """Who is whose child, at one moment."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        try:
            names = os.listdir("/proc")
        except OSError:
            names = []
        for name in names:
            if name.isdigit():
                pid = int(name)
                parent = parent_of(pid)
                if parent is not None:
                    self._children.setdefault(parent, []).append(pid)

    def children(self, pid: int) -> list[int]:
        return self._children.get(pid, [])

    def trees(self, roots: Collection[int]) -> dict[int, int]:
        """Process -> its parent, for the roots and all below them; parents come before children."""
        found: dict[int, int] = {}
        waiting = [(root, parent_of(root) or 0) for root in roots]
        for pid, parent in waiting:
            if pid not in found:
                found[pid] = parent
                waiting += [(child, pid) for child in self.children(pid)]
        return found


def own_children() -> list[int]:
    """Return the children of this process, which has one thread. Also those that have ended and are not reaped."""
    try:
        # A look at all processes takes milliseconds, in which one may have started another and be gone.
        with open("/proc/thread-self/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        # A kernel that was built without it.
        return Processes().children(os.getpid())


def children_of_this_process() -> list[int]:
    """Return the children of this process, whichever of its threads has started them."""
    if not os.path.exists("/proc/thread-self/children"):
        # As above.
        return Processes().children(os.getpid())
    children: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        # A thread that has ended meanwhile leaves its children to another one.
        with (
            contextlib.suppress(OSError),
            open(f"/proc/self/task/{thread}/children", "rb") as file,
        ):
            children += map(int, file.read().split())
    return children


def kill_children(spared: Collection[int] = ()) -> set[int]:
    """SIGKILL to the children of this process but those that are spared. Returns which.

    What is below them is below this process next, where it adopts. Nobody else has their numbers until they are reaped.
    """
    children = set(own_children()).difference(spared)
    for pid in children:
        # Gone, or with rights of its own.
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return children


def parent_of(pid: int) -> int | None:
    """None where the process is gone or cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name before may hold anything.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def is_below(pid: int, ancestor: int) -> bool:
    """Return whether a process is another one or comes from it."""
    at: int | None = pid
    for _ in range(_MAX_DEPTH):
        if at == ancestor:
            return True
        if not at:
            return False
        at = parent_of(at)
    return False


def kill_trees(roots: Collection[int]) -> None:
    """SIGKILL to processes and to all below them.

    They are stopped first, until there are no new ones: what is stopped starts no others.
    """
    stopped: dict[int, int] = {}
    give_up_at = time.monotonic() + _STOP_S
    while True:
        trees = Processes().trees(roots)
        new = {pid: parent for pid, parent in trees.items() if pid not in stopped}
        for pid, parent in new.items():
            _signal(pid, parent, signal.SIGSTOP)
        stopped |= new
        if not new or time.monotonic() > give_up_at:
            break
    # From the leaves on, so that each still has the parent that it was seen with.
    for pid, parent in reversed(stopped.items()):
        _signal(pid, parent, signal.SIGKILL)


def _signal(pid: int, parent: int, number: int) -> None:
    """Signal a process, unless its number is another one's by now."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        # Before Linux 5.3, or another system.
        with contextlib.suppress(OSError):
            if parent_of(pid) in (None, parent):
                os.kill(pid, number)
        return
    try:
        if parent_of(pid) == parent:
            signal.pidfd_send_signal(descriptor, number)
    except OSError:
        # Gone by now, or with rights of its own.
        return
    finally:
        os.close(descriptor)
