"""What the server's process takes of memory while clients send more than it is to hold."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.server import Server
from support.waiting import eventually

_MEBIBYTE = 1 << 20
_LIMIT_BYTES = 64 * _MEBIBYTE
_CLIENTS = 40
_LENGTH = 5_000_000
#: What the process may take beyond what is counted: what is read ahead on each connection, which is most on aiohttp's,
#: and what lies free between the bodies.
_BESIDE_BYTES = 48 * _MEBIBYTE
#: What remains of it: code that was not needed before, and memory in use here and there.
_REMAINS_BYTES = 16 * _MEBIBYTE


def _front(server: Server) -> psutil.Process:
    """The process that serves clients."""
    main = psutil.Process(server.pid)
    port = server.inference.address.port
    return next(
        process
        for process in (main, *main.children(recursive=True))
        if any(
            c.status == psutil.CONN_LISTEN and c.laddr[1] == port for c in process.net_connections()
        )
    )


class _Memory:
    """The memory of a process, in bytes, and the most since this was made."""

    def __init__(self, process: psutil.Process) -> None:
        self._folder = Path(f"/proc/{process.pid}")
        (self._folder / "clear_refs").write_text("5")

    def _value(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    @property
    def size(self) -> int:
        return self._value("VmRSS:")

    @property
    def most(self) -> int:
        return self._value("VmHWM:")


@pytest.fixture(params=["on", "off"])
def server(start_server, request: pytest.FixtureRequest, is_full: bool) -> Server:
    if request.param == "on" and not is_full:
        pytest.skip(
            "--full alone: beside other tests the lane's peak differs by more than the bound has room for"
        )
    limits = {"max_buffered_memory": str(_LIMIT_BYTES)}
    return start_server({"lane": request.param, "load_models": "noop", **limits})


def _held_bytes(server: Server) -> float:
    text = server.management.get("/prometheus").text
    return next(
        float(line.split()[1])
        for line in text.splitlines()
        if line.startswith("mms_buffered_bytes ")
    )


@contextlib.contextmanager
def _begun_bodies(server: Server) -> Iterator[None]:
    """Clients that have sent all of their bodies but the last byte, as far as the server takes it."""
    head = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % _LENGTH
    with contextlib.ExitStack() as stack:
        left: dict[socket.socket, memoryview] = {}
        for _ in range(_CLIENTS):
            connection = stack.enter_context(server.inference.address.connect(10.0))
            connection.setblocking(False)
            left[connection] = memoryview(head + bytes(_LENGTH - 1))
        while left:
            _, ready, _ = select.select([], list(left), [], 1.0)
            if not ready:
                # The server reads no more.
                break
            for connection in ready:
                left[connection] = left[connection][connection.send(left[connection]) :]
                if not left[connection]:
                    del left[connection]
        yield


def test_bodies_that_break_off_take_no_more_memory_than_the_limit_and_give_it_back(
    server: Server,
) -> None:
    front = _front(server)
    before = _Memory(front).size
    memory = _Memory(front)
    with _begun_bodies(server):
        eventually("the memory is full", lambda: _held_bytes(server) > _LIMIT_BYTES * 3 // 4)
    eventually("nothing is held", lambda: not _held_bytes(server))
    assert memory.most - before < _LIMIT_BYTES + _BESIDE_BYTES
    eventually("the system has it back", lambda: memory.size - before < _REMAINS_BYTES)
