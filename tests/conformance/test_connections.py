"""HTTP itself: connections, framing, malformed requests."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
from functools import partial

import pytest
from support.background import Gate
from support.client import Reply, Wire, in_parallel, request_bytes
from support.server import Server

pytestmark = pytest.mark.edge


def _is_open(wire: Wire) -> bool:
    """Whether a further request on the connection is answered."""
    return wire.call("GET", "/ping").status == 200


# Headers of every answer


def test_every_answer_has_the_common_headers(server: Server) -> None:
    for reply in (
        server.inference.get("/ping"),
        server.inference.get("/predictions/noop"),
        server.inference.get("/absent"),
        server.inference.options("/"),
        server.management.get("/models"),
        server.management.get("/absent"),
        server.management.post("/models"),
    ):
        assert reply.header("pragma") == "no-cache"
        assert reply.header("cache-control") == "no-cache; no-store, must-revalidate, private"
        assert reply.header("expires") == "Thu, 01 Jan 1970 00:00:00 UTC"
        assert reply.header("content-length") == str(len(reply.body))
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", _id(reply))


def _id(reply: Reply) -> str:
    return reply.header("x-request-id") or ""


def test_every_answer_has_a_fresh_request_id(server: Server) -> None:
    with server.inference.wire() as wire:
        ids = {_id(wire.call("GET", path)) for path in ["/ping", "/predictions/noop"] * 10}
    assert len(ids) == 20


def test_json_is_indented_and_ends_with_a_newline(server: Server) -> None:
    assert server.inference.get("/ping").body == b'{\n  "status": "Healthy"\n}\n'


def test_error_json_is_written_in_its_order(server: Server) -> None:
    assert server.inference.get("/absent").body == (
        b'{\n  "code": 404,\n  "type": "ResourceNotFoundException",\n'
        b'  "message": "Requested resource is not found, please refer to API document."\n}\n'
    )


def test_json_escapes_what_html_could_mistake(server: Server) -> None:
    reply = server.inference.get("/predictions/%3Ca%20href%3D%27x%27%3E%26")
    assert b"Model not found: \\u003ca href\\u003d\\u0027x\\u0027\\u003e\\u0026" in reply.body
    assert reply.json()["message"] == "Model not found: <a href='x'>&"


def test_json_is_utf8(server: Server) -> None:
    reply = server.inference.get("/predictions/gr%C3%BCn")
    assert "Model not found: grün".encode() in reply.body


def test_list_and_describe_are_indented_too(main_server: Server) -> None:
    with main_server.registered("echo", initial_workers=0) as name:
        body = main_server.management.get(f"/models/{name}").body
    assert body.startswith(b'{\n  "modelName": "' + name.encode() + b'",\n')
    assert body.endswith(b"\n}\n")
    assert b'"workers": []' in body


# Keeping and closing


def test_a_connection_is_kept_after_success(server: Server) -> None:
    with server.inference.wire() as wire:
        for path in ("/ping", "/predictions/noop", "/api-description", "/predictions/noop"):
            reply = wire.call("GET", path)
            assert (reply.status, reply.header("connection")) == (200, "keep-alive")


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "path", ["/absent", "/predictions", "/predictions/absent", "/", "/api-description/x"]
)
def test_a_connection_is_kept_after_an_error(server: Server, path: str) -> None:
    with server.inference.wire() as wire:
        for method, body in (("GET", None), ("POST", b"data=x"), ("GET", None)):
            reply = wire.call(method, path, body)
            assert reply.status in (404, 405)
            assert reply.header("connection") == "keep-alive"
        assert wire.call("GET", "/predictions/noop").status == 200


@pytest.mark.better_than_mms
def test_a_connection_is_kept_after_an_error_of_a_handler(server: Server) -> None:
    with server.inference.wire() as wire:
        for model in ("invalid", "error_batch", "custom-return-code"):
            reply = wire.call("POST", f"/predictions/{server.shared(model)}", b"data=x")
            assert reply.status >= 400
            assert reply.header("connection") == "keep-alive"
        assert wire.call("GET", "/predictions/noop").status == 200


@pytest.mark.better_than_mms
def test_the_management_listener_keeps_it_after_an_error_too(main_server: Server) -> None:
    with main_server.management.wire() as wire:
        for method, body in (("GET", None), ("PUT", b"x" * 1000)):
            reply = wire.call(method, "/models/absent", body)
            assert (reply.status, reply.header("connection")) == (404, "keep-alive")
        assert wire.call("GET", "/models").status == 200


@pytest.mark.better_than_mms
def test_a_connection_is_closed_after_an_error_that_leaves_a_rest_of_its_request(
    server: Server,
) -> None:
    with server.inference.wire() as first, server.inference.wire() as second:
        wires = {"/absent": first, "/predictions/absent/x/y": second}
        for target, wire in wires.items():
            head = f"POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            wire.send(head.encode() + b"5\r\nfirst\r\n")
            reply = wire.read_reply()
            assert (reply.status, reply.header("connection")) == (404, "close")
        # Both stay for the same seconds, in which a client reads its answer.
        assert all(wire.is_closed_by_peer() for wire in wires.values())


@pytest.mark.better_than_mms
@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
def test_a_client_that_asks_to_close_is_closed(server: Server, path: str) -> None:
    with server.inference.wire() as wire:
        reply = wire.call("GET", path, None, "Connection: close")
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert wire.is_closed_by_peer()


@pytest.mark.better_than_mms
@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
def test_an_http_1_0_client_is_closed(server: Server, path: str) -> None:
    with server.inference.wire() as wire:
        wire.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        reply = wire.read_reply()
        assert reply.status == 200
        assert wire.is_closed_by_peer()


@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
def test_an_http_1_0_client_may_keep_its_connection(server: Server, path: str) -> None:
    with server.inference.wire() as wire:
        for _ in range(2):
            wire.send(f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
            reply = wire.read_reply()
            assert (reply.status, reply.header("connection")) == (200, "keep-alive")


def test_an_http_1_0_request_is_answered(server: Server) -> None:
    with server.inference.wire() as wire:
        wire.send(b"POST /predictions/noop HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
        reply = wire.read_reply()
        assert (reply.status, reply.body) == (200, b"OK")


@pytest.mark.better_than_mms
def test_the_close_after_an_error_is_orderly(server: Server) -> None:
    with server.inference.wire() as wire:
        body = b"x" * 300000
        wire.send(request_bytes("POST", "/predictions/absent", body, "Connection: close"))
        assert wire.read_to_end().startswith(b"HTTP/1.1 404 ")


def test_a_client_that_goes_away_does_not_harm(server: Server, gate: Gate) -> None:
    name = server.shared("obey")
    order = json.dumps(gate.order).encode()
    path = f"/predictions/{name}"
    with server.inference.wire() as wire:
        wire.send(request_bytes("POST", path, order, "Content-Type: application/json"))
        gate.wait_until_reached()
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gate.open()
    assert server.inference.post_json(path, {"value": "still here"}).text == "still here"


# Pipelining


@pytest.mark.better_than_mms
def test_pipelined_requests_are_answered_in_their_order(server: Server, gate: Gate) -> None:
    obey = server.shared("obey")
    slow = json.dumps({**gate.order, "value": "slow"}).encode()
    with server.inference.wire() as wire:
        wire.send(
            request_bytes("POST", f"/predictions/{obey}", slow, "Content-Type: application/json")
            + request_bytes("POST", "/predictions/noop", b"x")
            + request_bytes("GET", "/ping")
            + request_bytes("POST", "/predictions/noop", b"x")
        )
        gate.wait_until_reached()
        # Another connection is served meanwhile.
        assert server.inference.get("/predictions/noop").body == b"OK"
        gate.open()
        bodies = [wire.read_reply().body for _ in range(4)]
    assert bodies == [b"slow", b"OK", b'{\n  "status": "Healthy"\n}\n', b"OK"]


# The original now and then resets such a connection half-way.
@pytest.mark.better_than_mms
def test_many_requests_sent_at_once_are_all_answered(server: Server) -> None:
    with server.inference.wire() as wire:
        wire.send(request_bytes("POST", "/predictions/noop", b"x") * 30)
        assert [wire.read_reply().body for _ in range(30)] == [b"OK"] * 30


@pytest.mark.better_than_mms
@pytest.mark.parametrize("path", ["/absent", "/predictions/absent"])
def test_what_follows_an_error_is_answered(server: Server, path: str) -> None:
    with server.inference.wire() as wire:
        wire.send(request_bytes("POST", path, b"x") + request_bytes("GET", "/ping"))
        assert [wire.read_reply().status for _ in range(2)] == [404, 200]


# Framing of bodies


def _chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def test_a_chunked_body_is_taken(server: Server) -> None:
    path = f"/predictions/{server.shared('echo')}"
    head = request_bytes("POST", path, None, "Transfer-Encoding: chunked")
    with server.inference.wire() as wire:
        wire.send(head + _chunked(b"one ", b"two ", b"three"))
        assert wire.read_reply().text == "{'body': bytearray(b'one two three')}"
        assert wire.call("POST", path, b"next").text == "{'body': bytearray(b'next')}"


def test_a_chunked_body_may_come_in_pieces(server: Server) -> None:
    path = f"/predictions/{server.shared('echo')}"
    data = request_bytes(
        "POST", path, None, "Transfer-Encoding: chunked", "Content-Type: text/plain"
    ) + _chunked(b"one;", b"two")
    with server.inference.wire() as wire:
        for index in range(len(data)):
            wire.send(data[index : index + 1])
        assert wire.read_reply().text == "{'body': 'one;two'}"


def test_a_request_may_come_byte_by_byte(server: Server) -> None:
    data = request_bytes("POST", "/predictions/noop", b"body", "X-A: b")
    with server.inference.wire() as wire:
        for index in range(len(data)):
            wire.send(data[index : index + 1])
        assert wire.read_reply().body == b"OK"


def test_a_management_request_may_be_chunked(main_server: Server) -> None:
    head = request_bytes(
        "POST", "/models", None, "Transfer-Encoding: chunked", "Content-Type: application/json"
    )
    with main_server.management.wire() as wire:
        wire.send(head + _chunked(b'{"url": ', b'"absent"}'))
        assert wire.read_reply().json()["message"] == "Model not found in model store: absent"


def test_answers_are_not_compressed(server: Server) -> None:
    path = f"/predictions/{server.shared('echo')}"
    reply = server.inference.post(path, b"x" * 3000, headers={"Accept-Encoding": "gzip"})
    assert reply.header("content-encoding") is None


def test_an_expected_continue_is_given(server: Server) -> None:
    path = f"/predictions/{server.shared('echo')}"
    with server.inference.wire() as wire:
        wire.send(request_bytes("POST", path, None, "Expect: 100-continue", "Content-Length: 4"))
        assert wire.read_reply(skip_interim=False).status == 100
        wire.send(b"body")
        assert wire.read_reply().text == "{'body': bytearray(b'body')}"
        assert _is_open(wire)


def test_any_other_expectation_is_417_and_the_connection_stays(server: Server) -> None:
    with server.inference.wire() as wire:
        wire.send(request_bytes("GET", "/predictions/noop", None, "Expect: something"))
        assert wire.read_reply().status == 417
        assert _is_open(wire)


# Sizes


def test_a_body_that_is_too_large_is_413_and_the_connection_serves_on(server: Server) -> None:
    path = f"/predictions/{server.shared('noop')}"
    with server.inference.wire() as wire:
        assert wire.call("POST", path, bytes(11485760)).status == 413
        assert wire.call("POST", path, bytes(10385760)).body == b"OK"


def test_a_413_comes_before_the_body_is_sent(tight: Server) -> None:
    name = tight.shared("noop")
    with tight.inference.wire() as wire:
        wire.send(request_bytes("POST", f"/predictions/{name}", None, "Content-Length: 2001"))
        assert wire.read_reply().status == 413


def test_a_body_of_the_allowed_size_is_taken(tight: Server) -> None:
    path = f"/predictions/{tight.shared('noop')}"
    assert tight.inference.post(path, bytes(2000)).body == b"OK"
    assert tight.inference.post(path, bytes(2001)).status == 413


def test_the_size_of_a_form_is_limited_too(tight: Server) -> None:
    path = f"/predictions/{tight.shared('noop')}"
    reply = tight.inference.post(
        path, bytes(2001), content_type="application/x-www-form-urlencoded"
    )
    assert reply.status == 413


def test_a_chunked_body_that_is_too_large_is_413_and_the_end(tight: Server) -> None:
    path = f"/predictions/{tight.shared('noop')}"
    with tight.inference.wire() as wire:
        wire.send(request_bytes("POST", path, None, "Transfer-Encoding: chunked"))
        wire.send(b"7d1\r\n" + bytes(2001) + b"\r\n0\r\n\r\n" + request_bytes("GET", "/ping"))
        reply = wire.read_reply()
        assert (reply.status, reply.header("connection")) == (413, "close")
        # Whether the server waits for the client to stop sending is its own matter.
        with contextlib.suppress(OSError):
            wire.socket.shutdown(socket.SHUT_WR)
        assert wire.is_closed_by_peer()


def test_an_expected_continue_that_is_too_large_is_413(tight: Server) -> None:
    with tight.inference.wire() as wire:
        wire.send(
            request_bytes(
                "POST", "/predictions/x", None, "Expect: 100-continue", "Content-Length: 2001"
            )
        )
        assert wire.read_reply(skip_interim=False).status == 413


@pytest.mark.better_than_mms
def test_a_413_says_why_in_json(tight: Server) -> None:
    reply = tight.inference.post("/predictions/x", bytes(2001))
    assert reply.status == 413
    assert reply.json()["code"] == 413
    assert "2000" in reply.json()["message"]
    assert reply.header("x-request-id")


def test_the_default_limit_is_6553500_bytes(combined: Server) -> None:
    with combined.inference.wire() as wire:
        wire.send(request_bytes("POST", "/predictions/noop", None, "Content-Length: 6553501"))
        assert wire.read_reply().status == 413
    assert combined.inference.post("/predictions/noop", bytes(6553500)).body == b"OK"


def test_the_management_listener_has_the_limit_too(tight_server: Server) -> None:
    reply = tight_server.management.post("/models", bytes(2001), content_type="application/json")
    assert reply.status == 413


# Malformed


@pytest.mark.parametrize(
    "data",
    [
        b"NONSENSE\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /predictions/noop HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /predictions/noop HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
        b"POST /predictions/noop HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=[
        "no request line",
        "no path",
        "two lengths",
        "length in words",
        "negative length",
    ],
)
def test_a_malformed_request_is_400(server: Server, data: bytes) -> None:
    for client in (server.inference, server.management):
        with client.wire() as wire:
            wire.send(data)
            assert wire.read_reply().status == 400
            assert wire.is_closed_by_peer()


def test_a_request_line_of_4000_bytes_is_taken(server: Server) -> None:
    reply = server.inference.get("/ping?" + "a" * 3900)
    assert reply.status == 200


def test_headers_of_8000_bytes_are_taken(server: Server) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    reply = server.inference.post(path, b"x", headers={"X-Long": "a" * 7900})
    assert reply.json()["headers"]["X-Long"] == "a" * 7900


def test_a_malformed_request_after_a_good_one_is_400(server: Server) -> None:
    with server.inference.wire() as wire:
        assert wire.call("POST", "/predictions/noop", b"x").body == b"OK"
        wire.send(b"NONSENSE\r\n\r\n")
        assert wire.read_reply().status == 400
        assert wire.is_closed_by_peer()


@pytest.mark.better_than_mms
def test_a_length_beside_chunks_is_refused(server: Server) -> None:
    with server.inference.wire() as wire:
        wire.send(
            b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert wire.read_reply().status == 400


def test_a_half_sent_request_does_not_harm(server: Server) -> None:
    with server.inference.wire() as wire:
        wire.send(b"POST /predictions/noop HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
    assert server.inference.get("/predictions/noop").body == b"OK"


def test_head_is_answered_without_a_body(server: Server) -> None:
    with server.inference.wire() as wire:
        reply = wire.call("HEAD", "/ping")
        assert reply.status == 200


def test_many_connections_are_served_at_once(server: Server) -> None:
    wires = [server.inference.wire() for _ in range(50)]
    try:
        for wire in wires:
            wire.send(request_bytes("POST", "/predictions/noop", b"x"))
        assert [wire.read_reply().body for wire in wires] == [b"OK"] * 50
    finally:
        for wire in wires:
            wire.socket.close()


def test_concurrent_clients_get_their_own_answers(server: Server) -> None:
    path = f"/predictions/{server.shared('echo')}"

    def talk(number: int) -> list[str]:
        with server.inference.wire() as wire:
            return [
                wire.call("POST", path, f"{number}-{i}".encode(), "Content-Type: text/plain").text
                for i in range(20)
            ]

    answers = in_parallel(partial(talk, number) for number in range(8))
    for number, texts in enumerate(answers):
        assert texts == [f"{{'body': '{number}-{i}'}}" for i in range(20)]


@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
def test_after_head_the_connection_serves_on(server: Server, path: str) -> None:
    with server.inference.wire() as wire:
        assert wire.call("HEAD", path).status == 200
        assert wire.call("GET", "/predictions/noop").body == b"OK"


def test_a_large_answer_reaches_a_slow_reader(server: Server) -> None:
    name = server.shared("obey")
    with server.inference.wire() as wire:
        wire.send(
            request_bytes(
                "POST",
                f"/predictions/{name}",
                b'{"element": "rather large"}',
                "Content-Type: application/json",
            )
        )
        # Others are served while this one is not read.
        assert server.inference.post_json(f"/predictions/{name}", {"value": "x"}).text == "x"
        assert wire.read_reply().body == b"x" * 6000000


def test_a_byte_order_of_writes_is_kept_for_large_answers(server: Server) -> None:
    path = f"/predictions/{server.shared('obey')}"
    large = request_bytes(
        "POST", path, b'{"element": "rather large"}', "Content-Type: application/json"
    )
    with server.inference.wire() as wire:
        for _ in range(3):
            wire.send(large)
            assert len(wire.read_reply().body) == 6000000
            assert wire.call("GET", "/ping").status == 200
