"""Single requests to a server on this machine: readiness, registration, checks of answers."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping

from benchmarks.deployment import Answer

HOST = "127.0.0.1"
_POLL_S = 0.005
# What a server that is not up yet, or is going down, does to a client.
NOT_ANSWERED = (OSError, http.client.HTTPException)


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Answer:
    """Send a request and return its answer. Raises one of NOT_ANSWERED."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def is_answered(port: int, path: str, timeout_s: float = 2.0) -> bool:
    """Return whether a GET gives 200."""
    try:
        return ask(port, "GET", path, timeout_s=timeout_s).status == http.client.OK
    except NOT_ANSWERED:
        return False


def wait_until(is_so: Callable[[], bool], timeout_s: float, poll_s: float = _POLL_S) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(poll_s)
    return True
