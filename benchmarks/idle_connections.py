"""Clients that have asked once and stay connected: they cost a server memory and places, and no work."""

from __future__ import annotations

import http.client
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.deployment import PeerRequest
from benchmarks.http_client import HOST

_TIMEOUT_S = 30.0
# Of a server, and of this process: logs, libraries, connections of the load itself.
_OTHER_FILES = 1000
# So many ask at the same time: a server that waits for its batches to be full is not waited for each time.
_WAVE = 64


def missing_descriptors(connections: int) -> str | None:
    """Raise this process's limit of open files for so many connections, which servers inherit, or say what it lacks."""
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return f"a process may open {hard:,} files here, and {wanted:,} are needed (ulimit -Hn)"
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return None


class IdleConnections:
    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        self._connections = connections

    def lost(self) -> int:
        """Return how many the server has closed."""
        return sum(_is_closed(connection) for connection in self._connections)


@contextmanager
def idle_connections(port: int, request: PeerRequest, count: int) -> Iterator[IdleConnections]:
    """Keep so many connections to the port open, each with one answer behind it. Raises one of NOT_ANSWERED."""
    with ExitStack() as stack:
        connections: list[http.client.HTTPConnection] = []
        while len(connections) < count:
            wave = [_open(port, stack) for _ in range(min(_WAVE, count - len(connections)))]
            for connection in wave:
                connection.request("POST", request.paths[0], request.body, dict(request.headers))
            for connection in wave:
                connection.getresponse().read()
            connections += wave
        yield IdleConnections(connections)


def _open(port: int, stack: ExitStack) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
    stack.callback(connection.close)
    connection.connect()
    return connection


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    # http.client drops the socket of an answer that says `Connection: close`.
    if connection.sock is None:
        return True
    connection.sock.setblocking(False)
    try:
        return not connection.sock.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
