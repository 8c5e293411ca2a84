"""Where requests begin and end, however their bytes come."""

from __future__ import annotations

import pytest

from mms.http.framing import Framing, Part

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3;x=y\r\nab\n\r\n0a\r\n\r\n34567\r\n0\r\n0\r\nTrailer: x\r\n\r\n"
STREAM = GET + POST + b"1\r\n\r\n67" + GET + CHUNKED + CHUNKS + POST + b"1234567" + GET


def parts(*pieces: bytes) -> list[tuple[Part, bytes]]:
    """What is cut, with the pieces of a body joined."""
    framing = Framing()
    found: list[tuple[Part, bytes]] = []
    for data in pieces:
        for part, piece, _ in framing.cut(data):
            if part is Part.BODY and found and found[-1][0] is Part.BODY:
                found[-1] = (part, found[-1][1] + piece)
            else:
                found.append((part, piece))
    return found


WHOLE = [
    (Part.HEAD, GET),
    (Part.HEAD, POST),
    (Part.BODY, b"1\r\n\r\n67"),
    (Part.HEAD, GET),
    (Part.HEAD, CHUNKED),
    (Part.BODY, CHUNKS),
    (Part.HEAD, POST),
    (Part.BODY, b"1234567"),
    (Part.HEAD, GET),
]


def test_a_stream_is_cut_into_its_heads_and_bodies():
    assert parts(STREAM) == WHOLE


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 30, 100])
def test_a_stream_is_cut_alike_in_whatever_pieces_it_comes(size):
    pieces = [STREAM[i : i + size] for i in range(0, len(STREAM), size)]
    assert parts(*pieces) == WHOLE


@pytest.mark.parametrize("cut", range(1, len(STREAM)))
def test_what_is_left_after_any_part_can_be_read_later(cut):
    framing = Framing()
    found = []
    for data in (STREAM[:cut], STREAM[cut:]):
        rest = data
        while rest:
            step = next(framing.cut(rest), None)
            if step is None:
                break
            part, piece, position = step
            found.append(piece)
            rest = rest[position:]
    assert b"".join(found) == STREAM


def test_empty_lines_before_a_request_are_left_out():
    assert parts(b"\r\n", b"\r\n" + GET) == [(Part.HEAD, GET)]
    assert parts(b"\r", b"\n\r", b"\n" + GET) == [(Part.HEAD, GET)]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /a HTTP/1.1\r\nConnection: x, Close\r\n\r\n",
        b"GET /a HTTP/1.1\r\nConnection: keep-alive\r\nCONNECTION: close\r\n\r\n",
        b"GET /a HTTP/1.0\r\n\r\n",
        b"GET /a HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    ],
)
def test_nothing_is_read_after_a_request_that_ends_its_connection(head):
    assert parts(head + GET, GET) == [(Part.HEAD, head)]


def test_the_body_of_a_last_request_is_read():
    head = POST.replace(b"1.1", b"1.0")
    assert parts(head + b"1234567" + GET) == [(Part.HEAD, head), (Part.BODY, b"1234567")]


@pytest.mark.parametrize(
    "begun",
    [
        b"\x16\x03\x01\x02",
        b"get / HTTP/1.1\r\n",
        b"GET /a HTTP/1.1\nHost: h\n",
        b"GET /" + b"a" * 4096,
        b"GET /a HTTP/1.1\r\nA: " + b"a" * 8192,
        b"GET /a HTTP/1.1\r\n" + b"A: a\r\n" * 4000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /a\r\n\r\n",
        b"\rGET /a HTTP/1.1\r\n\r\n",
        b"\n\r\nGET /a HTTP/1.1\r\n\r\n",
        b"\r\n\rG",
    ],
)
def test_what_can_become_no_head_is_told_before_its_end_has_come(begun):
    assert [part for part, _ in parts(begun)] == [Part.NO_HTTP]


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1 \r\n",
        b"1\nx\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nx\n",
        b"11111111111111111\r\n",
        b"1;" + b"x" * 5000,
        b"0\r\n" + b"A: b\r\n" * 3000,
    ],
)
def test_a_body_that_is_not_in_chunks_is_broken(chunks):
    found = parts(CHUNKED, chunks, GET)
    assert found[0] == (Part.HEAD, CHUNKED)
    assert found[-1][0] is Part.BROKEN
