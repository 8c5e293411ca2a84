"""The process that has imported what workers need, and nothing of any model, and is forked for each of them."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import site
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from mms.interfaces import DEFAULT, part
from mms.processes.messages import encode_message, receive_message
from mms.worker.forking.channel import take_channel
from mms.worker.forking.compact import fill_gaps, recall
from mms.worker.forking.identity import show_command
from mms.worker.forking.process_state import ProcessState
from mms.worker.forking.safety import fork_problem
from mms.worker.log_records.tracebacks import last_line
from mms.worker.process.confinement import confine
from mms.worker.process.setup import add_packages

_BYTES_PER_KIB = 1024


def run_fork_server() -> dict[str, Any] | None:
    """Prepare as the front says, then fork. Returns in a worker what the front asked for, and None at the end.

    The first message: `{"environment", "user", "packages", "modules", "learned", "most_bytes"}`. The answer: `{"ready":
    {…}}`, or `{"unsafe": module, "reason"}`, after which this process ends.
    Before each import: `{"importing": module}`, and with an empty name after the last one.
    """
    channel = take_channel()
    # Without what it is filled up with to make room.
    show_command([argument.strip() for argument in sys.orig_argv])
    if not _prepare(channel):
        return None
    # Here, as what is imported last lies together.
    from mms.processes.keeper import adopt_no_more
    from mms.worker.forking.forker import Forker

    forker = Forker(channel)
    fill_gaps()
    # What is imported stays: a collection in a fork would copy it.
    gc.freeze()
    # For keepers: the supervisor has them leave alone what a parent of workers leaves.
    signal.signal(signal.SIGUSR1, lambda *_: adopt_no_more())
    asked = forker.serve()
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    return asked


def _prepare(channel: socket.socket) -> bool:
    """Do as the first message says, and answer it. Returns whether there is a front that has workers forked.

    What is answered is gone with this function: a fork that freed it would write to each of its pages.
    """
    try:
        message, _ = receive_message(channel)
        if message is None:
            return False
        _take_on(message)
        answer = _import(message, lambda name: _send(channel, {"importing": name}))
        is_ready = "ready" in answer
        if is_ready:
            # What ends the process from here on is not the last module's fault.
            _send(channel, {"importing": ""})
            recall()
            fill_gaps()
            _import_own()
            answer["ready"]["stamps"] = stamps(sys.modules.values(), sys.path)
        _send(channel, answer)
    except ConnectionError:
        return False
    return is_ready


def _send(channel: socket.socket, message: Mapping[str, Any]) -> None:
    channel.sendall(encode_message(message))


def _take_on(message: Mapping[str, Any]) -> None:
    os.environ.update(message["environment"])
    if message["user"]:
        confine({"user": message["user"]})
        _add_user_packages()
    if message["packages"]:
        add_packages(message["packages"])


def _import(message: Mapping[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    failed: dict[str, str] = {}
    imported: dict[str, float] = {}
    state = ProcessState()
    for name in (*message["modules"], *message["learned"]):
        if name in message["learned"] and _resident_bytes() > message["most_bytes"]:
            break
        tell(name)
        began_at = time.perf_counter()
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            failed[name] = last_line(error)
        else:
            imported[name] = time.perf_counter() - began_at
        if problem := fork_problem(allows_python_threads=False):
            reason = f"with it a process cannot be forked: {problem}"
            return {"unsafe": name, "reason": reason}
        if change := state.change():
            reason = f"its import changes {change}, which would be so in all workers"
            return {"unsafe": name, "reason": reason}
    ready = {
        "pid": os.getpid(),
        "imported": imported,
        "failed": failed,
        "resident_bytes": _resident_bytes(),
    }
    return {"ready": ready}


def _import_own() -> None:
    """Import what every worker imports. Called after the libraries: see `compact`."""
    importlib.import_module("mms.worker.serving")
    importlib.import_module("mms.worker.process.parent")
    # For a model's manifest.
    importlib.import_module("encodings.utf_8_sig")
    part(DEFAULT.worker)


def _add_user_packages() -> None:
    """Put the user's own packages on the path: the interpreter has started as somebody else, whose it has there."""
    folder = site.getusersitepackages()
    if site.ENABLE_USER_SITE and os.path.isdir(folder):
        site.addsitedir(folder)


def stamps(modules: Iterable[ModuleType], path: Iterable[str]) -> dict[str, int]:
    """Return when what was imported changed last, and the folders of installed packages: path -> nanoseconds."""
    standard_library = os.path.dirname(os.__file__) + os.sep
    paths = {entry for entry in path if entry.endswith("-packages")}
    for module in list(modules):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str):
            continue
        if file.startswith(standard_library) and f"-packages{os.sep}" not in file:
            continue
        paths.add(file)
    found: dict[str, int] = {}
    for each in paths:
        try:
            found[each] = os.stat(each).st_mtime_ns
        except OSError:
            # Of a module that was never in a file of its own, as of those in archives.
            continue
    return found


def _resident_bytes() -> int:
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmRSS:"):
                return int(line.split()[1]) * _BYTES_PER_KIB
    return 0
