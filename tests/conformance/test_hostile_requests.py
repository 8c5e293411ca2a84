"""Requests that are made to do harm: refused or served, and nothing else notices.

After each test the workers are the ones that were there before it.
"""

from __future__ import annotations

import contextlib
import gzip
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support.client import Client, Reply, Wire, request_bytes
from support.server import Server
from support.waiting import eventually

from .mlrun.service import write_model

pytestmark = pytest.mark.better_than_mms

JSON = "Content-Type: application/json"
PING = request_bytes("GET", "/ping")
DEEP = b"[" * 100_000 + b"]" * 100_000
MIB = 1024 * 1024


def _workers(server: Server, name: str) -> list[tuple[str, str]]:
    return [(worker["id"], worker["startTime"]) for worker in server.describe(name)["workers"]]


@pytest.fixture(autouse=True)
def same_workers(server: Server) -> Iterator[None]:
    name = server.shared("echo")
    before = _workers(server, name)
    yield
    assert _workers(server, name) == before
    assert server.inference.post(f"/predictions/{name}", b"x").status == 200


def _echo(server: Server) -> str:
    return f"/predictions/{server.shared('echo')}"


# Lines and headers without an end


def _send_until_closed(wire: Wire, begin: bytes, unit: bytes, limit_bytes: int) -> int:
    """How many bytes could be sent until the server ended its side."""
    sent = 0
    piece = unit * max(1, 4096 // len(unit))
    wire.socket.settimeout(0.01)
    try:
        wire.socket.sendall(begin)
        while sent < limit_bytes:
            wire.socket.settimeout(10.0)
            wire.socket.sendall(piece)
            sent += len(piece)
            wire.socket.settimeout(0.002)
            try:
                if not wire.socket.recv(65536):
                    return sent
            except TimeoutError:
                continue
    except (TimeoutError, ConnectionError):
        pass
    return sent


@pytest.mark.edge
@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        (b"GET /", b"a"),
        (b"GET /predictions/noop?", b"a=b&"),
        (b"", b"A"),
        (b"", b"\x16\x03\x01"),
        (b"GET /ping HTTP/1.1\r\nA: ", b"b"),
        (b"GET /ping HTTP/1.1\r\n", b"b"),
        (b"POST /predictions/noop HTTP/1.1\r\n", b"a: b\r\n"),
        (b"POST /predictions/noop HTTP/1.1\r\nA: b", b"\r\n c"),
        (b"POST /predictions/noop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"POST /predictions/noop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a=b;"),
        (
            b"POST /predictions/noop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"a: b\r\n",
        ),
        (b"GET /ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
    ],
    ids=repr,
)
def test_what_has_no_end_is_refused_before_it_fills_memory(
    server: Server, begin: bytes, unit: bytes
) -> None:
    with server.inference.wire() as wire:
        assert _send_until_closed(wire, begin, unit, MIB) < 128 * 1024


@pytest.mark.edge
def test_a_silent_connection_is_closed_after_its_time(hasty: Server) -> None:
    with contextlib.ExitStack() as stack:
        wires = []
        for first in (b"", b"\r\n\r\n", PING, PING + b"\r\n\r\n", b"\r\n" * 50_000):
            wires.append(stack.enter_context(hasty.inference.wire(8.0)))
            with contextlib.suppress(ConnectionError):
                wires[-1].send(first)
        for wire in wires:
            with contextlib.suppress(ConnectionResetError):
                while wire.socket.recv(4096):
                    continue


# Paths

PATHS = [
    b"/predictions/%ff",
    b"/predictions/%c3%28/%00",
    b"/predictions/\xff\xfe",
    b"/predictions/..%2f..%2f..%2fetc%2fpasswd",
    b"/predictions/../../../../etc/passwd",
    b"/predictions/%2e%2e/%2e%2e/noop",
    b"/predictions/..\\..\\noop",
    b"/%2e%2e%2fetc/passwd",
    b"//predictions//noop",
    b"/models/..%2f..%2fnoop",
    b"/models/%00",
    b"/static/../../../../etc/passwd",
    b"/v2/models/..%2f..%2fx/infer",
    b"/seldon/ns/..%2fx/api/v1.0/predictions",
    b"/predictions/" + b"%25" * 1000,
    b"/" + b"/" * 3000,
    b"/predictions/noop/" + b"a/" * 1000,
    b"http:///",
    b"http://[::1/x",
    b"*",
]


@pytest.mark.edge
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_path_that_leads_out_of_the_tree_leads_nowhere(server: Server, method: str) -> None:
    for client in (server.inference, server.management):
        for path in PATHS:
            with client.wire() as wire:
                wire.send(
                    method.encode()
                    + b" "
                    + path
                    + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                reply = wire.read_reply()
                assert 200 <= reply.status < 500, path
                assert b"root:" not in reply.body, path


# Bodies


def _is_refused(reply: Reply) -> bool:
    return reply.status == 400 and reply.json()["type"] == "BadRequestException"


@pytest.mark.parametrize(
    "body",
    [DEEP, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 1_000_000, b"1" * 100_000],
    ids=["arrays", "objects", "open arrays", "digits"],
)
def test_json_that_no_parser_should_follow_is_refused(server: Server, body: bytes) -> None:
    reply = server.inference.post(_echo(server), body, content_type="application/json")
    assert _is_refused(reply)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1e-400", b"[1e999999999]"])
def test_a_number_beyond_all_floats_is_served(server: Server, number: bytes) -> None:
    reply = server.inference.post(_echo(server), number, content_type="application/json")
    assert reply.status == 200


@pytest.mark.parametrize("body", [DEEP, b"1e400", b'{"url": 1e400}', b"[" * 1_000_000])
def test_hostile_json_for_management_is_refused(server: Server, body: bytes) -> None:
    reply = server.management.post("/models", body, content_type="application/json")
    assert 400 <= reply.status < 500


@pytest.mark.edge
def test_many_small_bombs_hold_nobody_up_and_take_no_memory(server: Server) -> None:
    bomb = gzip.compress(b"0" * 10 * MIB)
    front = psutil.Process(server.pid)
    path = _echo(server)
    _post_quietly(server.inference, path, bomb, JSON, "Content-Encoding: gzip")
    before = front.memory_info().rss
    wires = [server.inference.wire() for _ in range(60)]
    try:
        for wire in wires:
            wire.send(request_bytes("POST", path, bomb, JSON, "Content-Encoding: gzip"))
        assert {wire.read_reply().status for wire in wires} == {413}
        assert front.memory_info().rss - before < 24 * MIB
    finally:
        for wire in wires:
            wire.socket.close()


def _part(name: str, value: str = "x", boundary: str = "b") -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    )


@pytest.mark.edge
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"".join(_part(f"f{n}") for n in range(9_000)) + b"--b--\r\n", 200),
        (b"".join(_part(f"f{n}") for n in range(20_000)) + b"--b--\r\n", 400),
        (_part("a") + _part("b")[:-4], 400),
        (_part("a")[:30], 400),
        (b"--b\r\n" * 100_000, 400),
        (b"--b\r\nContent-Disposition: form-data; name=a\r\n" + b"A: b\r\n" * 100_000, 400),
        (_part("a", (_part("c", boundary="c") * 3 + b"--c--").decode()) + b"--b--", 200),
        (_part("a", "--bb\r\n--b-\r\n --b") + b"--b--", 200),
        (b"\r\n--bx" * 200_000 + b"\r\n--b--", 200),
        (b'--b\r\nContent-Disposition: form-data; name="' + b"\\" * 15_000 + b"\r\n\r\n", 400),
        (b"--b\r\nContent-Disposition: form-data" + b"; a" * 5_000 + b"\r\n\r\n", 400),
        (_part("a")[:20] + b"\xff\xfe" * 100 + _part("a")[20:] + b"--b--", 400),
    ],
    ids=[
        "thousands",
        "too many",
        "no end",
        "head alone",
        "delimiters",
        "headers",
        "nested",
        "half boundaries",
        "almost delimiters",
        "backslashes",
        "parameters",
        "invalid utf-8",
    ],
)
def test_a_hostile_multipart_body_is_refused_or_served(
    server: Server, body: bytes, status: int
) -> None:
    reply = server.inference.post(
        _echo(server), body, content_type="multipart/form-data; boundary=b", timeout_s=10.0
    )
    assert reply.status == status


@pytest.mark.edge
@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=" + "b" * 7000,
        'multipart/form-data; boundary="',
        'multipart/form-data; boundary="\\',
        "multipart/form-data" + "; a=b" * 1500,
        'multipart/form-data; boundary="' + "\\" * 7000,
        "multipart/form-data; boundary=\r\n",
        "application/json; " + "x" * 7000,
        "text/" + "\xff" * 1000,
    ],
    ids=lambda text: text[:32],
)
def test_a_hostile_content_type_is_refused_or_served(server: Server, content_type: str) -> None:
    with server.inference.wire(10.0) as wire:
        wire.send(
            request_bytes("POST", _echo(server), b"x", f"Content-Type: {content_type.strip()}")
        )
        assert wire.read_reply().status in (200, 400)


@pytest.mark.parametrize(
    "body",
    [b"&" * 1_000_000, b"a=b&" * 20_000, b"%" * 100_000, b"a" * 1_000_000, b"=" * 100_000],
    ids=lambda body: repr(body[:4]),
)
def test_a_hostile_form_is_refused_or_served(server: Server, body: bytes) -> None:
    reply = server.inference.post(
        _echo(server), body, content_type="application/x-www-form-urlencoded", timeout_s=10.0
    )
    assert reply.status in (200, 400)


# Growth


def _memory_bytes(server: Server) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in server.processes())


def _post_quietly(client: Client, path: str, body: bytes, *lines: str) -> None:
    with client.wire() as wire:
        wire.send(request_bytes("POST", path, body, *lines))
        wire.read_reply()


@pytest.mark.edge
def test_hostile_requests_leave_no_memory_behind(server: Server) -> None:
    bomb = gzip.compress(b"0" * MIB)
    path = _echo(server)

    def attack(rounds: int) -> None:
        for number in range(rounds):
            _post_quietly(server.inference, path, DEEP, JSON)
            _post_quietly(server.inference, path, b"1e400", JSON)
            _post_quietly(server.inference, path, bomb, JSON, "Content-Encoding: gzip")
            _post_quietly(server.inference, f"/predictions/{'x' * 900}{number}", b"x" * 1000)
            _post_quietly(server.inference, path, b"x", f"X-{number}: {'y' * 1500}")
            _post_quietly(server.inference, path, b"x", f"Content-Type: a/{number}{'z' * 1500}")

    attack(20)
    before = _memory_bytes(server)
    attack(60)
    assert _memory_bytes(server) - before < 10 * MIB


@pytest.mark.edge
def test_lengths_that_are_announced_and_not_sent_take_no_memory(server: Server) -> None:
    head = request_bytes("POST", _echo(server), None, f"Content-Length: {10 * MIB}")
    front = psutil.Process(server.pid)
    before = front.memory_info().rss
    wires = [server.inference.wire() for _ in range(40)]
    try:
        for wire in wires:
            wire.send(head + b"x")
        with server.inference.wire() as wire:
            # Behind all of them.
            assert wire.call("GET", "/ping").status == 200
        assert front.memory_info().rss - before < 64 * MIB
    finally:
        for wire in wires:
            wire.socket.close()


@pytest.mark.edge
def test_connections_that_end_within_a_request_leave_nothing_open(server: Server) -> None:
    begins = [
        b"POST",
        b"POST /predictions/noop HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 1000,
        b"POST /predictions/noop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
        b"\x00" * 100,
        PING + PING[:10],
    ]
    front = psutil.Process(server.pid)
    before = front.num_fds()
    for begin in begins * 20:
        with server.inference.wire() as wire:
            wire.send(begin)
    eventually("the descriptors are closed", lambda: front.num_fds() <= before)


# Models of other interfaces

HOSTILE_JSON = [
    DEEP,
    b"[" * 1_000_000,
    b"1e400",
    b'{"inputs": [1e400]}',
    b'{"inputs": ' + DEEP + b"}",
    b'{"data": {"ndarray": [[1e400]]}}',
    b'{"data": {"ndarray": ' + DEEP + b"}}",
    b'{"data": {"tensor": {"shape": [1e18, 1e18], "values": [1]}}}',
    b'{"data": {"tensor": {"shape": [-1], "values": []}}}',
    b'{"data": {"tensor": {"shape": [9223372036854775807, 2], "values": [1]}}}',
    b'{"jsonData": ' + DEEP + b"}",
    b'{"binData": "%%%"}',
    b'{"inputs": [1], "id": ' + DEEP + b"}",
    b'{"a": 1, "a": 2' + b', "a": 3' * 100_000 + b"}",
    b"\xff\xfe\x00",
    b"\x00" * 1000,
]


def _is_deep(body: bytes) -> bool:
    return b"[" * 1000 in body


def test_hostile_json_for_a_model_of_mlruns_is_refused_or_served(server: Server) -> None:
    url = write_model(server, "hostile", "Mul", {"multiplier": 100})
    with server.registered(url) as key:
        before = _workers(server, key)
        for body in HOSTILE_JSON:
            reply = server.inference.post(
                f"/v2/models/{key}/infer", body, content_type="application/json", timeout_s=10.0
            )
            # MLRun answers a failing event with 500 or less, as the event's own failure.
            expected = (400,) if _is_deep(body) else (200, 400, 500)
            assert reply.status in expected, (body[:40], reply)
            assert _workers(server, key) == before, body[:40]


def test_hostile_json_for_a_component_is_refused_or_served(server: Server) -> None:
    name = server.shared("seldon", handler="components:Plain")
    before = _workers(server, name)
    for body in HOSTILE_JSON:
        for path in ("predict", "api/v1.0/predictions", "send-feedback"):
            reply = server.inference.post(
                f"/seldon/{name}/{path}", body, content_type="application/json", timeout_s=10.0
            )
            # Seldon's wrapper answers 500 to values that its classes cannot be given.
            expected = (400,) if _is_deep(body) else (200, 400, 500)
            assert reply.status in expected, (path, body[:40], reply)
        assert _workers(server, name) == before, body[:40]


def test_a_large_registration_in_lax_json_holds_nobody_up(server: Server) -> None:
    body = "{url: nowhere.mar, serving_spec: {rows: [" + "{a: 'b', c: 1.5}," * 30_000 + "0]}}"
    slowest_s = 0.0
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        reply = pool.submit(
            server.management.post, "/models", body, content_type="application/json"
        )
        while not reply.done():
            asked = time.monotonic()
            assert server.inference.get("/ping").status == 200
            slowest_s = max(slowest_s, time.monotonic() - asked)
        took_s = time.monotonic() - started
    assert reply.result().status == 404, reply.result()
    assert slowest_s < took_s / 3, (slowest_s, took_s)
