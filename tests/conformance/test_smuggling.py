"""What two readers could take for different requests: refused, with the end of the connection.

Behind each case comes a whole request, so that what is read wrongly shows as an answer too many.
"""

from __future__ import annotations

import pytest
from support.client import request_bytes
from support.server import Server

pytestmark = [pytest.mark.better_than_mms, pytest.mark.edge]

HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = request_bytes("GET", "/ping")
OK = (200, b"OK")
PONG = (200, b'{\n  "status": "Healthy"\n}\n')


def _is_refused(server: Server, *pieces: bytes) -> bool:
    """Whether the only answer is 400, and then the connection ends."""
    with server.inference.wire() as wire:
        for piece in pieces:
            wire.send(piece)
        assert wire.read_reply().status == 400
        return wire.is_closed_by_peer()


def _answers(server: Server, *pieces: bytes, count: int = 2) -> list[tuple[int, bytes]]:
    with server.inference.wire() as wire:
        for piece in pieces:
            wire.send(piece)
        replies = [wire.read_reply() for _ in range(count)]
    return [(reply.status, reply.body) for reply in replies]


@pytest.mark.parametrize(
    "length",
    [
        b"+1",
        b"-1",
        b"0x1",
        b"1_0",
        b"1.0",
        b"1e0",
        b"",
        b"1 1",
        b"1,1",
        b"1;",
        b"one",
        b"\xb2",
        b"1\x0b",
        b"1\x00",
        b"18446744073709551616",
        b"18446744073709551617",
        b"99999999999999999999999",
    ],
)
def test_a_length_that_is_no_plain_number_is_refused(server: Server, length: bytes) -> None:
    assert _is_refused(server, HEAD + b"Content-Length: " + length + b"\r\n\r\nx" + NEXT)


@pytest.mark.parametrize("length", [b"01", b"0" * 100 + b"1", b"\t1", b" 1 ", b"1"])
def test_a_length_may_have_leading_zeros_and_blanks_around_it(
    server: Server, length: bytes
) -> None:
    data = HEAD + b"Content-Length: " + length + b"\r\n\r\nx" + NEXT
    assert _answers(server, data) == [OK, PONG]


@pytest.mark.parametrize("length", [b"4294967297", b"9223372036854775808"])
def test_a_huge_length_does_not_wrap_round(server: Server, length: bytes) -> None:
    data = HEAD + b"Content-Length: " + length + b"\r\n\r\nx"
    assert [status for status, _ in _answers(server, data, count=1)] == [413]


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: 1\r\nContent-Length: 1\r\n",
        b"Content-Length: 0\r\ncontent-length: 1\r\n",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_two_words_about_the_length_are_refused(server: Server, headers: bytes) -> None:
    assert _is_refused(server, HEAD + headers + b"\r\n0\r\n\r\n" + NEXT)


@pytest.mark.parametrize(
    "coding",
    [
        b"xchunked",
        b"chunkedx",
        b"chunked, chunked",
        b"gzip, chunked",
        b"chunked, gzip",
        b"gzip",
        b"identity",
        b"chunked;q=1",
        b"\x0bchunked",
        b"",
        b"chunked,",
        b",chunked",
        b'"chunked"',
    ],
)
def test_any_transfer_coding_but_chunked_is_refused(server: Server, coding: bytes) -> None:
    data = HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n1\r\nx\r\n0\r\n\r\n" + NEXT
    assert _is_refused(server, data)


def test_http_1_0_has_no_chunks(server: Server) -> None:
    head = CHUNKED.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n")
    assert _is_refused(server, head + b"1\r\nx\r\n0\r\n\r\n" + NEXT)


BAD_CHUNKS = [
    b"zz\r\nx\r\n",
    b"1g\r\nx\r\n",
    b"0x1\r\nx\r\n",
    b"+1\r\nx\r\n",
    b"-1\r\nx\r\n",
    b"1_0\r\nx\r\n",
    b" 1\r\nx\r\n",
    b"1 \r\nx\r\n",
    b"\r\nx\r\n",
    b"1\nx\r\n",
    b"1\rx\r\n",
    b"1\r\nx\n",
    b"1\r\nxx\r\n",
    b"2\r\nx\r\n0\r\n\r\n",
    b"1;a\nb\r\nx\r\n",
    b"1;a\x00\r\nx\r\n",
    b"1;a\rb\r\nx\r\n",
    b"10000000000000001\r\nx\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"0\r\nBad Trailer: y\r\n\r\n",
    b"0\r\nA: b\nC: d\r\n\r\n",
    b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    b"0\r\n\n",
]


@pytest.mark.parametrize("chunks", BAD_CHUNKS, ids=lambda chunks: repr(chunks[:24]))
def test_a_body_that_is_not_in_chunks_is_refused(server: Server, chunks: bytes) -> None:
    assert _is_refused(server, CHUNKED + b"1\r\nx\r\n" + chunks + b"0\r\n\r\n" + NEXT)


def test_a_body_that_breaks_while_it_is_read_is_refused_after_its_time(hasty: Server) -> None:
    """aiohttp does not tell who reads a body that nothing more can come of it."""
    with hasty.inference.wire(8.0) as first, hasty.inference.wire(8.0) as second:
        for wire, chunks in ((first, BAD_CHUNKS[0]), (second, BAD_CHUNKS[-1])):
            wire.send(CHUNKED.replace(b"x\r\n", b"x\r\nExpect: 100-continue\r\n"))
            assert wire.read_reply(skip_interim=False).status == 100
            wire.send(b"1\r\nx\r\n" + chunks + b"0\r\n\r\n" + NEXT)
        for wire in (first, second):
            assert wire.read_reply().status in (400, 408)
            assert wire.is_closed_by_peer()


@pytest.mark.parametrize("path", ["/ping", "/absent", "/models"])
def test_a_broken_body_that_nobody_reads_ends_the_connection_too(server: Server, path: str) -> None:
    with server.inference.wire() as wire:
        wire.send(request_bytes("GET", path, None, "Transfer-Encoding: chunked") + b"zz\r\n" + NEXT)
        assert wire.read_reply().status == 400
        assert wire.is_closed_by_peer()


def test_a_body_that_breaks_after_its_answer_ends_the_connection(hasty: Server) -> None:
    with hasty.inference.wire(8.0) as wire:
        wire.send(request_bytes("GET", "/ping", None, "Transfer-Encoding: chunked"))
        assert wire.read_reply().status == 200
        wire.send(b"zz\r\n" + NEXT)
        assert wire.is_closed_by_peer()


@pytest.mark.parametrize(
    "chunks",
    [
        b"01\r\nx\r\n0\r\n\r\n",
        b"0000000000000000000001\r\nx\r\n0\r\n\r\n",
        b"1;a=b\r\nx\r\n0;c\r\n\r\n",
        b'1;a="b;c"\r\nx\r\n0\r\n\r\n',
        b"1;" + b"a" * 20000 + b"\r\nx\r\n0\r\n\r\n",
        b"1\r\nx\r\n0\r\nTrailer: y\r\n\r\n",
    ],
)
def test_chunks_may_have_extensions_trailers_and_leading_zeros(
    server: Server, chunks: bytes
) -> None:
    assert _answers(server, CHUNKED + chunks + NEXT) == [OK, PONG]


@pytest.mark.parametrize(
    "line",
    [
        b"A: b\r\n c",
        b"A: b\r\n\tc",
        b"A : b",
        b"A\t: b",
        b"A B: c",
        b" A: b",
        b"\tA: b",
        b"Abc",
        b": b",
        b"A: b\nC: d",
        b"A: b\rC: d",
        b"A: b\r",
        b"\nA: b",
        b"A: b\0c",
        b"A\0: b",
        b"A: b\x01c",
        b"A: b\x7fc",
        b"A: \x0bb",
        b"A\xff: b",
        b"A(): b",
        b'"A": b',
        b"{A}: b",
        b"A@: b",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Content-Length : 5",
        b"Host: y",
    ],
)
def test_a_header_that_is_none_is_refused(server: Server, line: bytes) -> None:
    assert _is_refused(server, HEAD + line + b"\r\n\r\n" + NEXT)


@pytest.mark.parametrize("line", [b"Transfer_Encoding: chunked", b"Content_Length: 5"])
def test_a_header_that_only_looks_like_a_length_is_none(server: Server, line: bytes) -> None:
    assert _answers(server, HEAD + line + b"\r\n\r\n" + NEXT) == [OK, PONG]


@pytest.mark.parametrize(
    "data",
    [
        HEAD.replace(b"\r\n", b"\n") + b"\n",
        HEAD.replace(b"x\r\n", b"x\n") + b"\r\n",
        HEAD.replace(b"1.1\r\n", b"1.1\n") + b"\r\n",
        HEAD + b"\n",
        HEAD + b"\r\r\n",
        HEAD.replace(b"1.1\r\n", b"1.1\r\r\n") + b"\r\n",
        b"\x0b" + HEAD + b"\r\n",
    ],
)
def test_lines_that_do_not_end_with_cr_lf_are_refused(server: Server, data: bytes) -> None:
    assert _is_refused(server, data + NEXT)


@pytest.mark.parametrize(
    "line",
    [
        b"POST /predictions/noop HTTP/1.2",
        b"POST /predictions/noop HTTP/2.0",
        b"POST /predictions/noop HTTP/0.9",
        b"POST /predictions/noop HTTP/1.10",
        b"POST /predictions/noop HTTP/01.1",
        b"POST /predictions/noop http/1.1",
        b"POST /predictions/noop",
        b"POST /predictions/noop HTTP/1.1 ",
        b"POST\t/predictions/noop\tHTTP/1.1",
        b"POST /predictions/noop x HTTP/1.1",
        b"POST /predictions/noop\0 HTTP/1.1",
        b"POST /predictions/noop\x7f HTTP/1.1",
        b"post /predictions/noop HTTP/1.1",
        b"FOO /predictions/noop HTTP/1.1",
        b" POST /predictions/noop HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"POST /predictions/noop RTSP/1.0",
    ],
)
def test_a_request_line_that_is_none_is_refused(server: Server, line: bytes) -> None:
    assert _is_refused(server, line + b"\r\nHost: x\r\n\r\n" + NEXT)


@pytest.mark.parametrize("between", [b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\r\n\r"])
def test_empty_lines_between_requests_are_left_out(server: Server, between: bytes) -> None:
    first = request_bytes("POST", "/predictions/noop", b"x")
    assert _answers(server, first + between + NEXT) == [OK, PONG]


@pytest.mark.parametrize("first", [NEXT, request_bytes("POST", "/predictions/noop", b"x")])
def test_nothing_behind_a_bad_request_is_answered(server: Server, first: bytes) -> None:
    """Good ones before it may be lost with it where they come at once: aiohttp takes a piece whole or not at all."""
    with server.inference.wire() as wire:
        wire.send(first + first + b"NONSENSE\r\n\r\n" + NEXT)
        statuses = [wire.read_reply().status]
        while statuses[-1] == 200:
            statuses.append(wire.read_reply().status)
        assert statuses in ([400], [200, 200, 400])
        assert wire.is_closed_by_peer()


@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
@pytest.mark.parametrize(
    ("version", "connection"),
    [
        ("1.1", "close"),
        ("1.1", "Keep-Alive, CLOSE"),
        ("1.1", "keep-alive\r\nConnection: close"),
        ("1.0", "x"),
        ("1.0", "keep-alive, close"),
    ],
)
def test_what_follows_a_last_request_is_not_read(
    server: Server, path: str, version: str, connection: str
) -> None:
    last = f"GET {path} HTTP/{version}\r\nHost: x\r\nConnection: {connection}\r\n\r\n".encode()
    with server.inference.wire() as wire:
        wire.send(last + NEXT)
        reply = wire.read_reply()
        # aiohttp's parser refuses all that comes in one piece with what may not be there.
        assert reply.status == 400 or (reply.status, reply.header("connection")) == (200, "close")
        assert wire.is_closed_by_peer()


@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_upgrade_that_is_not_made_loses_no_request(
    server: Server, path: str, protocol: str
) -> None:
    first = request_bytes("POST", path, b"x", "Connection: Upgrade", f"Upgrade: {protocol}")
    if path == "/ping":
        first = request_bytes("GET", path, None, "Connection: Upgrade", f"Upgrade: {protocol}")
    with server.inference.wire() as wire:
        for data in (first, NEXT + NEXT):
            wire.send(data)
            assert wire.read_reply().status == 200
        assert wire.read_reply().status == 200


@pytest.mark.parametrize("path", ["/ping", "/predictions/noop"])
def test_http_1_1_needs_a_host(server: Server, path: str) -> None:
    assert _is_refused(server, f"GET {path} HTTP/1.1\r\n\r\n".encode() + NEXT)
