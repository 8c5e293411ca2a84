"""The process that writes the log is killed or stopped, or the server beside it is: requests never notice."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import psutil
import pytest
from support.processes import is_alive, started_by
from support.server import Server
from support.waiting import eventually

from .load import Load, Target
from .models import write_echo

_TARGET = Target("/predictions/echo-orders", fails_with={})
_SETTINGS = {"load_models": "echo-orders", "default_workers_per_model": "1"}


def _writer(server: Server) -> psutil.Process:
    return started_by(server.pid, "writer_process.py")


def _dropped_lines(server: Server) -> int:
    text = server.management.get("/metrics").text
    found = re.search(r"^mms_log_lines_dropped_total (\d+)", text, re.M)
    assert found is not None, text
    return int(found[1])


def _is_logged(server: Server, path: str) -> None:
    server.inference.get(path)
    server.wait_for_log("access_log.log", re.escape(path))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_requests_are_answered_and_logged_again_when_what_writes_the_log_is_lost_or_stopped(
    shared_server: Callable[..., Server], number: signal.Signals
) -> None:
    server = shared_server(_SETTINGS, before=write_echo)
    _is_logged(server, f"/before-{number.name}")
    writer = _writer(server)
    before = _dropped_lines(server)
    with Load(server.inference.address.port, [_TARGET]) as load:
        load.wait_for_right(20)
        writer.send_signal(number)
        load.wait_for_right(200)
    load.count.check()
    assert load.count.lost == 0
    assert load.count.longest_gap_s < 2, load.count
    if number == signal.SIGSTOP:
        # Nothing is lost, it waits.
        assert _writer(server).pid == writer.pid
        writer.send_signal(signal.SIGCONT)
        assert _dropped_lines(server) == before
    else:
        assert _writer(server).pid != writer.pid
        assert (
            f"log-writer: the process {writer.pid} has ended (killed by SIGKILL)" in server.output()
        )
    _is_logged(server, f"/after-{number.name}")


def test_the_last_line_is_written_though_every_process_is_told_to_stop_at_once(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(_SETTINGS, before=write_echo)
    writer = _writer(server)
    for process in (writer, *psutil.Process(server.pid).children(recursive=True)):
        process.terminate()
    server.stop()
    assert server.log("mms_log.log").rstrip().endswith("Model server stopped.")
    assert not is_alive(writer.pid)


def test_what_writes_the_log_ends_with_a_server_that_is_killed(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(_SETTINGS, before=write_echo)
    writer = _writer(server)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    eventually("it has ended", lambda: not is_alive(writer.pid))


def test_threads_write_the_log_where_the_settings_say_so(
    start_server: Callable[..., Server],
) -> None:
    server = start_server({**_SETTINGS, "log_writer": "thread"}, before=write_echo)
    _is_logged(server, "/by-threads")
    children = psutil.Process(server.pid).children()
    assert not any("writer_process.py" in " ".join(child.cmdline()) for child in children)
