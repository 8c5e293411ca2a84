"""Clients that take their time, keep too much open, do not read, or stop sending."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from collections.abc import Callable

import psutil
import pytest
from support.background import Background, Gate
from support.client import Wire, request_bytes
from support.processes import command_line, tagged_processes
from support.server import Server
from support.waiting import eventually

pytestmark = [pytest.mark.better_than_mms, pytest.mark.edge]

PING = request_bytes("GET", "/ping")
NOOP = request_bytes("POST", "/predictions/noop", b"x")
CHUNKED = request_bytes("POST", "/predictions/noop", None, "Transfer-Encoding: chunked") + (
    b"1\r\nx\r\n0\r\n\r\n"
)
#: What the settings of the server `hasty` grant, with the second that may pass until it looks.
LIMIT_S = 8.0


def _connect(server: Server) -> Wire:
    """A connection, once there is room for it."""

    def attempt() -> Wire | None:
        wire = server.inference.wire(LIMIT_S)
        try:
            if wire.call("GET", "/ping").status == 200:
                return wire
        except (ConnectionError, AssertionError):
            wire.socket.close()
        return None

    found = eventually("there is room for a connection", attempt)
    assert found is not None
    return found


# Time


def test_a_connection_without_a_request_is_closed_after_its_time(hasty: Server) -> None:
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(_connect(hasty)) for _ in range(3)]
        began_at = time.monotonic()
        for wire, first in zip(wires, (b"", PING, NOOP), strict=True):
            if first:
                wire.send(first)
                assert wire.read_reply().status == 200
        for wire in wires:
            assert wire.is_closed_by_peer()
            assert 0.5 < time.monotonic() - began_at < LIMIT_S


def test_a_head_that_does_not_come_to_its_end_ends_the_connection(hasty: Server) -> None:
    with _connect(hasty) as first, _connect(hasty) as second:
        for wire, path in ((first, "/ping"), (second, "/predictions/noop")):
            wire.send(f"GET {path} HTTP/1.1\r\nA: b".encode())
        assert first.is_closed_by_peer()
        assert second.is_closed_by_peer()


def test_bytes_of_a_head_now_and_then_give_it_no_more_time(hasty: Server) -> None:
    with _connect(hasty) as wire:
        wire.socket.settimeout(0.2)
        wire.send(b"GET /ping HTTP/1.1\r\n")
        deadline = time.monotonic() + LIMIT_S
        received: bytes | None = None
        while received is None:
            assert time.monotonic() < deadline, "the connection outlived its time"
            try:
                wire.send(b"A")
                received = wire.socket.recv(100)
            except TimeoutError:
                continue
            except ConnectionError:
                received = b""
        assert received == b""


def test_a_body_that_does_not_come_to_its_end_is_408(hasty: Server) -> None:
    with _connect(hasty) as first, _connect(hasty) as second:
        framings = ("Content-Length: 9", "Transfer-Encoding: chunked")
        for wire, framing in zip((first, second), framings, strict=True):
            wire.send(request_bytes("POST", "/predictions/noop", None, framing) + b"1\r\nx")
        for wire in (first, second):
            reply = wire.read_reply()
            assert (reply.status, reply.header("connection")) == (408, "close")
        for wire in (first, second):
            assert wire.is_closed_by_peer()


def test_a_request_that_waits_for_its_answer_is_not_timed_as_a_client(
    hasty: Server, gate: Gate
) -> None:
    order = json.dumps({**gate.order, "value": "late"}).encode()
    with hasty.registered("obey") as name, _connect(hasty) as wire:
        path = f"/predictions/{name}"
        wire.send(request_bytes("POST", path, order, "Content-Type: application/json"))
        gate.wait_until_reached()
        with _connect(hasty) as idle:
            assert idle.is_closed_by_peer()
        with _connect(hasty) as idle:
            assert idle.is_closed_by_peer()
        gate.open()
        assert wire.read_reply().text == "late"


# Number


def test_a_connection_too_many_is_closed_and_the_others_serve_on(hasty: Server, gate: Gate) -> None:
    order = json.dumps(gate.order).encode()
    path = f"/predictions/{hasty.shared('obey')}"
    with contextlib.ExitStack() as stack:
        wires = []
        for _ in range(8):
            wires.append(stack.enter_context(_connect(hasty)))
            # One that waits for its answer is not closed for its silence.
            wires[-1].send(request_bytes("POST", path, order, "Content-Type: application/json"))
        gate.wait_until_reached()
        with pytest.raises(ConnectionError), hasty.inference.wire(LIMIT_S) as wire:
            wire.call("GET", "/ping")
        gate.open()
        assert [wire.read_reply().status for wire in wires] == [200] * 8


# Size


@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
def test_a_body_that_was_refused_for_its_size_is_skipped_to_the_next_request(
    hasty: Server, path: str
) -> None:
    large = request_bytes("POST", path, bytes(20001))
    with _connect(hasty) as wire:
        for _ in range(3):
            wire.send(large + NOOP)
            assert wire.read_reply().status == 413
            assert wire.read_reply().body == b"OK"


# Reading and writing


def _front(server: Server) -> psutil.Process:
    """The process that serves HTTP."""
    found = [
        process
        for process in tagged_processes(server.tag)
        if "com.amazonaws.ml.mms.ModelServer" in command_line(process)
    ]
    assert len(found) == 1, found
    return found[0]


def test_thousands_of_requests_sent_before_reading_are_answered_in_order(server: Server) -> None:
    path = f"/predictions/{server.shared('echo')}"
    count = 1000
    data = b"".join(
        request_bytes("POST", path, b"%d" % number, "Content-Type: text/plain")
        if number % 50
        else PING
        for number in range(count)
    )
    with server.inference.wire() as wire:
        sending = Background(lambda: wire.send(data))
        for number in range(count):
            text = wire.read_reply().text
            if number % 50:
                assert text == f"{{'body': '{number}'}}"
            else:
                assert "Healthy" in text
        sending.result()


@pytest.mark.parametrize("path", ["/predictions/noop", "/api-description"])
def test_a_client_that_reads_no_answers_is_not_read_from(server: Server, path: str) -> None:
    front = _front(server)
    before = front.memory_info().rss
    with server.inference.wire() as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        wire.socket.settimeout(1.0)
        method = "GET" if path == "/api-description" else "POST"
        data = request_bytes(method, path, b"x", "A: " + "a" * 2000) * 20000
        with pytest.raises(TimeoutError):
            wire.send(data)
        assert front.memory_info().rss - before < 32 * 2**20
        # Others are served meanwhile.
        assert server.inference.get("/predictions/noop").body == b"OK"


def test_large_answers_that_are_not_read_fill_no_memory_without_end(server: Server) -> None:
    path = f"/predictions/{server.shared('obey')}"
    large = request_bytes(
        "POST", path, b'{"element": "rather large"}', "Content-Type: application/json"
    )
    with server.inference.wire() as wire:
        # From now on answers of this model are expected to be as large.
        wire.send(large)
        assert len(wire.read_reply().body) == 6_000_000
    front = _front(server)
    before = front.memory_info().rss
    with server.inference.wire() as wire:
        wire.send(large * 30)
        eventually("an answer comes", lambda: wire.socket.recv(1, socket.MSG_PEEK))
        assert server.inference.post_json(path, {"value": "x"}).text == "x"
        # Of 180 MB that were asked for, what max_connection_memory lets one hold, and one answer more.
        assert front.memory_info().rss - before < 32 * 2**20 + 3 * 6_000_000
        for _ in range(30):
            assert len(wire.read_reply().body) == 6_000_000


@pytest.mark.parametrize("path", ["/ping", "/predictions/noop", "/predictions/absent"])
def test_an_answer_is_one_write(server: Server, path: str) -> None:
    for _ in range(20):
        with server.inference.wire() as wire:
            wire.send(request_bytes("GET", path))
            head, _, body = wire.socket.recv(65536).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}".encode() in head.lower()


# Half-closed


BEGUN = {
    "a head": PING[:-2],
    "a head of a prediction": NOOP[:-5],
    "a body": request_bytes("POST", "/predictions/noop", None, "Content-Length: 5") + b"x",
    "a large body": request_bytes("POST", "/predictions/noop", None, "Content-Length: 500000")
    + bytes(300_000),
    "a chunk": request_bytes("POST", "/predictions/noop", None, "Transfer-Encoding: chunked")
    + b"1\r\n",
}


@pytest.mark.parametrize("more", [b"", *BEGUN.values()], ids=["nothing", *BEGUN])
@pytest.mark.parametrize("last", [PING, NOOP, CHUNKED], ids=["ping", "noop", "chunked"])
def test_a_client_that_has_stopped_sending_gets_all_its_answers(
    server: Server, gate: Gate, last: bytes, more: bytes
) -> None:
    """Also where it has begun one request more, and broken off."""
    path = f"/predictions/{server.shared('obey')}"
    slow = json.dumps({**gate.order, "value": "slow"}).encode()
    with server.inference.wire() as wire:
        wire.send(
            request_bytes("POST", path, slow, "Content-Type: application/json") + last * 40 + more
        )
        wire.socket.shutdown(socket.SHUT_WR)
        gate.wait_until_reached()
        gate.open()
        replies = [wire.read_reply() for _ in range(41)]
        assert replies[0].body == b"slow"
        assert {reply.status for reply in replies} == {200}
        assert wire.is_closed_by_peer()


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
def test_a_client_that_stops_sending_within_a_request_is_closed(
    server: Server, begun: bytes
) -> None:
    with server.inference.wire(LIMIT_S) as wire:
        wire.send(begun)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.read_to_end() == b""


def test_a_client_that_breaks_off_its_body_leaves_no_error_in_the_log(server: Server) -> None:
    for framing in ("Content-Length: 500000", "Transfer-Encoding: chunked"):
        with server.inference.wire() as wire:
            wire.send(request_bytes("POST", "/predictions/noop", None, framing) + b"1\r\nx")
    assert server.inference.get("/predictions/noop").body == b"OK"
    assert "Unexpected error in" not in server.output()


# The server's end


def test_a_stopping_server_answers_what_it_has_and_closes_the_rest(
    start_server: Callable[..., Server], gate: Gate, lane: str
) -> None:
    server = start_server({"lane": lane.removeprefix("lane="), "load_models": "obey"})
    slow = json.dumps({**gate.order, "value": "slow"}).encode()
    busy, idle, asked = (server.inference.wire() for _ in range(3))
    with busy, idle, asked:
        assert asked.call("GET", "/ping").status == 200
        busy.send(
            request_bytes("POST", "/predictions/obey", slow, "Content-Type: application/json")
        )
        gate.wait_until_reached()
        server.signal_main(signal.SIGTERM)
        assert idle.is_closed_by_peer()
        assert asked.is_closed_by_peer()
        with pytest.raises(ConnectionError):
            server.inference.wire()
        gate.open()
        assert busy.read_reply().text == "slow"
        assert busy.is_closed_by_peer()
    assert server.wait() == 0
