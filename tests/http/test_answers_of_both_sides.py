"""What an answer looks like on the wire, whichever side of the front it came from."""

from __future__ import annotations

import asyncio

import pytest
from support.waiting import until


@pytest.mark.parametrize("target", ["/ping", "/predictions/m"])
async def test_an_http_1_0_client_is_answered_in_http_1_1(bench, target):
    received = await bench.exchange(f"GET {target} HTTP/1.0\r\nHost: h\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in received


@pytest.mark.parametrize(
    ("status", "length"), [(204, None), (205, b"content-length: 0"), (304, b"content-length: 4")]
)
async def test_no_body_follows_a_status_that_has_none(bench, status, length):
    bench.host.on_submit = lambda request: request.answer(status, b"", b"", b"body")
    _, head, body = await bench.call("POST", "/predictions/m")
    assert body == b""
    lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
    assert lengths == ([] if length is None else [length])


async def test_headers_of_a_handler_are_sent_byte_for_byte(bench):
    lines = b"X-Latin: \xe4\r\nServer: mine\r\nDate: then\r\n"
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


async def test_a_client_that_asked_first_is_not_kept_after_413(make_bench):
    bench = await make_bench(max_request_size=10)
    received = await bench.exchange(
        b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
        b"Content-Length: 11\r\n\r\n"
    )
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in received


async def test_what_a_client_still_sends_does_not_reset_its_error(make_bench):
    bench = await make_bench(lane=False)
    reader, writer = await bench.connect()
    writer.write(b"NO HTTP\r\n\r\n")
    received = await asyncio.wait_for(reader.read(), 10)
    assert received.startswith(b"HTTP/1.1 400 ")
    # The server has ended its side and reads on.
    writer.write(b"x" * 200_000)
    await asyncio.wait_for(writer.drain(), 10)
    writer.write_eof()
    await until(lambda: not bench.front.connection_count)
    writer.close()
    await asyncio.wait_for(writer.wait_closed(), 10)
