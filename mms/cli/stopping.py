"""Ending a server: it drains first, and is killed when that takes too long."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mms.cli.pid_file import PidFile, PidFileError, command_words, environment_of, is_server
from mms.processes.launch_options import ARGV_WORD
from mms.text import properties

#: Besides the drain timeout, what a stop may take before the server is killed, in seconds.
_STOP_MARGIN_S = 15.0
_DEFAULT_DRAIN_S = 30.0
#: How often a stop that takes long says that it is still under way, in seconds.
_PROGRESS_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class StopMessages:
    """What is said of a server that there is none of, that was stopped, and that had ended already."""

    not_running: str = "Model server is not currently running."
    stopped: str = "Model server stopped."
    was_stopped: str = "Model server already stopped."


#: MMS's own.
MESSAGES = StopMessages()


def stop(pid_file: PidFile, messages: StopMessages = MESSAGES) -> int:
    """Stop the server that the file names; returns the exit code."""
    pid = pid_file.read()
    if pid is None:
        print(messages.not_running)
        return 0
    try:
        is_stopped = _end(pid)
    except PermissionError:
        raise PidFileError(
            f"Process {pid} of PID file {pid_file.path} belongs to another user; only that user can stop it."
        ) from None
    print(messages.stopped if is_stopped else messages.was_stopped)
    # A server removes its own file; by now the name may be another server's.
    pid_file.remove(of=pid)
    return 0


def _end(pid: int) -> bool:
    """Return whether there was a server to end."""
    words = command_words(pid)
    if ARGV_WORD not in words:
        return False
    drain_s = drain_timeout_s(words, environment_of(pid))
    started = time.monotonic()
    reported = started
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    while is_server(pid):
        now = time.monotonic()
        if now - started > drain_s + _STOP_MARGIN_S:
            _kill_tree(pid)
            break
        if now - reported > _PROGRESS_S and sys.stderr.isatty():
            reported = now
            print(
                f"Waiting for the server to give its last answers ({now - started:.0f} s) ...",
                file=sys.stderr,
            )
        time.sleep(_POLL_S)
    return True


def drain_timeout_s(words: list[str], environ: Mapping[str, str]) -> float:
    """Return how long a server with this command line and environment may drain, as far as it can be known."""
    named = [environ.get("MMS_DRAIN_TIMEOUT_S", "")]
    given = [w.partition("=")[2] for w in words if w.startswith("--mms-config=")]
    for path in [environ.get("MMS_CONFIG_FILE", ""), *given]:
        try:
            text = properties.decode(Path(path).read_bytes())
            named += [e.value for e in properties.parse(text) if e.key == "drain_timeout_s"]
        except (OSError, ValueError):
            # The file has changed since the server has read it.
            named.append("")
    longest_s = _DEFAULT_DRAIN_S
    for value in named:
        try:
            longest_s = max(longest_s, float(value))
        except ValueError:
            continue
    return longest_s


def _kill_tree(pid: int) -> None:
    import psutil

    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=_STOP_MARGIN_S)
