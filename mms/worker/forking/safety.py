"""Whether a process can be forked: threads and device contexts exist in no fork, while the code that made them goes on
as if they did, and hangs."""

from __future__ import annotations

import os
import sys
import threading
import warnings

_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/accel")


def fork_problem(*, allows_python_threads: bool) -> str:
    """Return why forks of this process would not work; empty: nothing is known against it.

    `allows_python_threads`: those of `threading` are no reason. Their code is the model's own.
    """
    if sys.platform != "linux":
        # Nothing is known of the threads of native code there.
        return ""
    device = next((path for path in _open_files() if path.startswith(_DEVICES)), None)
    if device is not None:
        return f"it has opened the device {device}"
    allowed = threading.active_count() if allows_python_threads else 1
    extra = _thread_count() - allowed
    if extra <= 0:
        return ""
    # What libraries end before a fork and start again where they need it is none: OpenBLAS's threads are.
    _try_fork()
    extra = _thread_count() - allowed
    if extra <= 0:
        return ""
    return f"it has {extra} {'threads' if extra > 1 else 'thread'} besides its main one"


def _thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def _open_files() -> list[str]:
    paths = []
    for name in os.listdir("/proc/self/fd"):
        try:
            paths.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            # That of the listing itself, which is closed by now.
            continue
    return paths


def _try_fork() -> None:
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads, which this is here to find out about.
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
