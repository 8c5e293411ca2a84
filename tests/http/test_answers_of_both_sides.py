"""What an answer looks like on the wire, whichever side of the front it came from."""

from __future__ import annotations

import asyncio

import pytest
from support.waiting import until


@pytest.mark.parametrize("target", ["/ping", "/predictions/m"])
async def test_an_http_1_0_client_is_answered_and_closed(bench, target):
    received = await bench.exchange(f"GET {target} HTTP/1.0\r\nHost: h\r\n\r\n".encode())
    assert received.split(b" ", 2)[1] == b"200"
    assert b"\r\nconnection: close\r\n" in received


@pytest.mark.parametrize(
    ("status", "lengths"),
    [
        (204, {b""}),
        (205, {b"content-length: 0"}),
        # Of the body that it has none of; it may be left out.
        (304, {b"", b"content-length: 4"}),
    ],
)
async def test_no_body_follows_a_status_that_has_none(bench, status, lengths):
    bench.host.on_submit = lambda request: request.answer(status, b"", b"", b"body")
    _, head, body = await bench.call("POST", "/predictions/m")
    assert body == b""
    lines = head.lower().split(b"\r\n")
    assert b"".join(line for line in lines if line.startswith(b"content-length")) in lengths


async def test_headers_of_a_handler_are_sent_byte_for_byte(bench):
    lines = "X-Word: gr\u00fcn\r\nServer: mine\r\nDate: then\r\n".encode()
    bench.host.on_submit = lambda request: request.answer(200, b"", lines, b"")
    _, head, _ = await bench.call("POST", "/predictions/m")
    assert lines in head + b"\r\n"


@pytest.mark.parametrize(
    ("line_bytes", "status"), [(4096, 200), (4097, 414)], ids=["longest", "too long"]
)
async def test_a_request_line_has_a_limit(bench, line_bytes, status):
    target = "/predictions/m?"
    target += "x" * (line_bytes - len(f"GET {target} HTTP/1.1"))
    assert (await bench.call("GET", target))[0] == status


@pytest.mark.parametrize(
    ("headers_bytes", "status"), [(8192, 200), (8193, 431)], ids=["most", "too many"]
)
async def test_headers_have_a_limit_all_together(bench, headers_bytes, status):
    used = len("Host: h") + len("Connection: close") + len("A: ") + len("B: ") + 4000
    b_value = "y" * (headers_bytes - used)
    headers = ("A: " + "x" * 4000, f"B: {b_value}")
    assert (await bench.call("GET", "/predictions/m", b"", *headers))[0] == status


async def test_many_short_headers_are_taken(bench):
    headers = [f"A{i}: x" for i in range(500)]
    assert (await bench.call("GET", "/ping", b"", *headers))[0] == 200


async def test_a_client_that_asked_first_is_not_kept_after_413(make_bench, monkeypatch):
    monkeypatch.setattr("mms.http.lane.front.LINGER_S", 0.1)
    monkeypatch.setattr("mms.http.web.server._LINGER_S", 0.1)
    bench = await make_bench(max_request_size=10)
    received = await bench.exchange(
        b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
        b"Content-Length: 11\r\n\r\n"
    )
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in received


@pytest.mark.parametrize("body_bytes", [200_000, 2_000_000])
async def test_a_body_that_nobody_reads_does_not_reset_its_error(make_bench, body_bytes):
    bench = await make_bench(lane=False)
    reader, writer = await bench.connect()
    head = f"POST /absent HTTP/1.1\r\nHost: h\r\nContent-Length: {body_bytes}\r\n\r\n"
    writer.write(head.encode() + bytes(body_bytes - 1))
    received = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert received.startswith(b"HTTP/1.1 404 ")
    await asyncio.wait_for(writer.drain(), 10)
    writer.write(b"x")
    await asyncio.wait_for(reader.read(), 10)
    await until(lambda: not bench.front.connection_count)
    writer.close()
