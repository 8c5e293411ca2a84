"""Connections in great number that do nothing, or next to nothing: others notice nothing.

Quickly with hundreds; with `--full` 10,000 that are idle and 1,000 that send a byte a second. `-s` shows the figures.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import pytest
from support.server import Server
from support.waiting import eventually

from .load import Load, Target

_HEAD = b"GET /predictions/noop HTTP/1.1\r\nX-Slow: " + b"a" * 4000
_BODY = b"POST /predictions/noop HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n" + b"b" * 4000
#: What the median of others may be, against that of a server without a crowd at the same time.
_MAX_FACTOR = 2.0
_NOISE_S = 0.003
#: A shared machine may trouble one of the servers for a while, but not again and again.
_MAX_LOOKS = 6


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """As many as this process, and the servers that it starts, may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _medians_s(loads: Sequence[Load], seconds: float, each: Callable[[], None]) -> list[float]:
    """Of each load's right answers in the next seconds. `each`: what is done once a second meanwhile."""
    firsts = [len(load.count.times_s) for load in loads]
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        each()
        time.sleep(min(1.0, left))
    for load, first in zip(loads, firsts, strict=True):
        if len(load.count.times_s) == first:
            load.wait_for_right()
    return [
        statistics.median(load.count.times_s[first:])
        for load, first in zip(loads, firsts, strict=True)
    ]


def _connect(server: Server, count: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    sockets = []
    for _ in range(count):
        connection = server.inference.address.connect(10.0)
        stack.callback(connection.close)
        sockets.append(connection)
    return sockets


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lane", ["on", "off"])
def test_a_crowd_of_idle_and_slow_connections_is_not_noticed_by_others(
    start_server: Callable[..., Server], is_full: bool, many_descriptors: int, lane: str
) -> None:
    idle_count, slow_count, seconds = (10_000, 1_000, 15.0) if is_full else (400, 60, 1.0)
    if lane == "off" and not is_full:
        pytest.skip("the lane stands for both; --full takes both")
    assert many_descriptors > idle_count + slow_count + 200, "ulimit -n is too low for this test"
    settings = {"lane": lane, "load_models": "noop", "default_workers_per_model": "1"}
    server, quiet_server = start_server(settings), start_server(settings)
    front = psutil.Process(server.pid)
    target = Target("/predictions/noop", is_right=lambda status, body, token: body == b"OK")
    with (
        Load(server.inference.address.port, [target], connections=4) as load,
        Load(quiet_server.inference.address.port, [target], connections=4) as quiet_load,
        contextlib.ExitStack() as stack,
    ):
        load.wait_for_right(200)
        quiet_load.wait_for_right(200)
        memory = front.memory_info().rss
        idle = _connect(server, idle_count, stack)
        slow = _connect(server, slow_count, stack)
        begins = [(_HEAD, _BODY)[number % 2] for number in range(slow_count)]
        position = 0

        def send_a_byte() -> None:
            nonlocal position
            for connection, data in zip(slow, begins, strict=True):
                connection.send(data[position : position + 1])
            position += 1

        # Past the first lines at once, so that heads and bodies are what comes slowly.
        for connection, data in zip(slow, begins, strict=True):
            connection.send(data[:100])
        position = 100
        for _ in range(_MAX_LOOKS):
            during_s, quiet_s = _medians_s([load, quiet_load], seconds, send_a_byte)
            is_noticed = during_s >= quiet_s * _MAX_FACTOR + _NOISE_S
            if not is_noticed:
                break
        taken = front.memory_info().rss - memory
        assert all(map(_is_open, idle[:: max(1, idle_count // 100)])), "idle ones were closed"
        assert all(map(_is_open, slow)), "slow ones were closed before their time"
    print(
        f"\nlane={lane}: {idle_count} idle, {slow_count} slow: median {during_s * 1000:.2f} ms with them, "
        f"{quiet_s * 1000:.2f} ms without; {taken / (idle_count + slow_count) / 1024:.1f} KiB a connection"
    )
    load.count.check(failures=0)
    quiet_load.count.check(failures=0)
    assert not is_noticed, f"{during_s} s instead of {quiet_s} s"
    eventually(
        "the server has closed its ends", lambda: front.num_fds() < slow_count + 200, timeout_s=60
    )
