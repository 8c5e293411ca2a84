"""The process around a model: variables, output, signals, module path, what a fork keeps."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from mms.interfaces import INTERFACES
from mms.worker.loading.shadowing import separate
from mms.worker.log_records.logging_setup import set_up_logging

#: For the handler's libraries, unless the operator chose: workers are what runs in parallel, not their threads.
_DEFAULT_VARIABLES = (
    ("OMP_NUM_THREADS", "1"),
    *(variable for interface in INTERFACES for variable in interface.variables),
)

#: What PYTHONPATH is to be for the model. The interpreter starts without it, as it has the model's folder.
_MODEL_PATH_VARIABLE = "MMS_WORKER_PYTHONPATH"
_model_path = ""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_blocked = threading.local()

#: The folder that holds the package `mms`.
_HOME = os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
)

#: Connections to the front. A process that the handler forks must not keep them open.
_connections: set[socket.socket] = set()


def set_up() -> None:
    """Prepare the process, before any code of a model runs."""
    set_variables()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    set_up_logging()
    # Its report of a crash in native code goes to the log.
    faulthandler.enable()
    ignore_signals()
    os.register_at_fork(
        before=_block_signals, after_in_parent=_unblock_signals, after_in_child=_leave_to_child
    )
    _put_home_last()


def set_variables() -> None:
    """Take from the variables what is for the worker alone, and give those their values that have a default."""
    global _model_path
    _model_path = os.environ.pop(_MODEL_PATH_VARIABLE, "")
    for name, value in _DEFAULT_VARIABLES:
        os.environ.setdefault(name, value)


def ignore_signals() -> None:
    """The front alone ends workers: a signal to the whole group must not take them away while it drains.

    A function, not SIG_IGN, which the handler's own subprocesses would inherit.
    """
    for number in _SIGNALS:
        signal.signal(number, _ignore)


def keep_connection(connection: socket.socket) -> None:
    _connections.add(connection)


def enter_model(folders: Sequence[str], packages: str | None = None) -> None:
    """Make the model's folder, which is the last one, the current one, and its modules importable.

    `folders`: `Load.code_folders`. `packages`: a folder of what was installed for the model. It comes before other
    installed packages, and behind Python's own modules.

    The handler's own folder comes before what PYTHONPATH gave, the model's folder after it, as in MMS. Until now
    nothing of the model could be imported: what the worker needs is Python's, whatever files a model has.
    """
    model_dir = folders[-1]
    os.chdir(model_dir)
    separate(folders)
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = [i for i, entry in enumerate(sys.path) if entry in given and entry != _HOME]
    if model_dir not in sys.path:
        sys.path.insert(max(places, default=-1) + 1, model_dir)
    if len(folders) > 1:
        sys.path.insert(0, folders[0])
    if packages is not None:
        add_packages(packages)
    if _model_path:
        # For what the model's code starts.
        os.environ["PYTHONPATH"] = _model_path


def add_packages(folder: str) -> None:
    """Have a folder of packages before all other installed ones."""
    if folder not in sys.path:
        installed = [i for i, entry in enumerate(sys.path) if entry.endswith("-packages")]
        sys.path.insert(min(installed, default=len(sys.path)), folder)


def _ignore(number: int, frame: FrameType | None) -> None:
    return


def _block_signals() -> None:
    # One that comes before a new process has its own handlers must wait for them.
    _blocked.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _blocked.before)


def _leave_to_child() -> None:
    """Give up, in a process that was forked from this one, its hold on the front and its way with signals."""
    for connection in _connections:
        connection.close()
    _connections.clear()
    if signal.getsignal(signal.SIGTERM) is _ignore:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _ignore:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _unblock_signals()


def _put_home_last() -> None:
    """`-m` put the server's folder first on the path. Where that is a site-packages, it would hide the standard library
    and, for another interpreter, hold packages that are not made for it."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HOME]
    sys.path.append(_HOME)
