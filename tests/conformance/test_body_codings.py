"""Bodies that come compressed, in other charsets, or with a byte order mark."""

from __future__ import annotations

import codecs
import functools
import gzip
import json
import random
import zlib
from collections.abc import Callable

import pytest
from support.client import Part, multipart
from support.server import Server

pytestmark = [pytest.mark.edge, pytest.mark.better_than_mms]

MIB = 1 << 20
JSON = "application/json"


def _raw_deflate(plain: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(plain) + packer.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": _raw_deflate,
    "identity": bytes,
    "identity, gzip": gzip.compress,
}


@pytest.mark.parametrize(
    ("coding", "size"),
    [*((coding, size) for coding in CODINGS for size in (2, 3000)), ("gzip", 3 * MIB)],
)
def test_a_compressed_body_reaches_the_handler_as_it_was_before(
    server: Server, coding: str, size: int
) -> None:
    value = random.Random(size).randbytes(size // 2).hex()
    body = json.dumps({"value": value}).encode()
    reply = server.inference.post(
        f"/predictions/{server.shared('obey')}",
        CODINGS[coding](body),
        content_type=JSON,
        headers={"Content-Encoding": coding},
    )
    assert (reply.status, reply.body) == (200, value.encode())


def test_a_handler_sees_no_trace_of_the_coding(server: Server) -> None:
    name = server.shared("inspect")
    headers = server.inference.post(
        f"/predictions/{name}", gzip.compress(b"words"), headers={"Content-Encoding": "gzip"}
    ).json()["headers"]
    assert headers["Content-Length"] == "5"
    assert "content-encoding" not in {header.lower() for header in headers}


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "x-unknown"])
def test_a_coding_that_cannot_be_read_is_415_and_named(server: Server, coding: str) -> None:
    for client, path in ((server.inference, "/predictions/noop"), (server.management, "/models")):
        reply = client.post(path, b"x", headers={"Content-Encoding": coding})
        assert reply.status == 415
        assert coding in reply.json()["message"]
        assert reply.header("accept-encoding") == "gzip, deflate"


def test_a_request_without_a_body_may_say_what_it_likes(server: Server) -> None:
    assert server.inference.get("/ping", headers={"Content-Encoding": "br"}).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_is_not_what_its_coding_says_is_400(server: Server, coding: str) -> None:
    whole = CODINGS[coding](b"abc" * 10_000)
    for body in (b"x", whole[:-5], whole + b"more"):
        reply = server.inference.post(
            "/predictions/noop", body, headers={"Content-Encoding": coding}
        )
        assert (reply.status, coding in reply.json()["message"]) == (400, True)


def test_an_empty_body_is_empty_in_any_coding(server: Server) -> None:
    path = f"/predictions/{server.shared('echo')}"
    reply = server.inference.post(path, b"", headers={"Content-Encoding": "gzip"})
    assert reply.text == "{'body': bytearray(b'')}"


@functools.cache
def _unfolding() -> list[tuple[bytes, str]]:
    """Compressed bodies, and the limit that each is over."""
    # Of hexadecimal digits gzip leaves half.
    noise = b'"%b"' % random.Random(1).randbytes(6 * MIB).hex().encode()
    return [
        (gzip.compress(b"0" * 9 * MIB, 1), "max_request_ratio"),
        (gzip.compress(noise, 1), "max_request_size"),
    ]


@pytest.mark.parametrize("path", ["/predictions/{}", "/models"])
def test_a_body_that_unfolds_over_the_limits_is_413(server: Server, path: str) -> None:
    client = server.management if path == "/models" else server.inference
    path = path.format(server.shared("echo"))
    for body, limit in _unfolding():
        reply = client.post(path, body, content_type=JSON, headers={"Content-Encoding": "gzip"})
        assert (reply.status, limit in reply.json()["message"]) == (413, True)


def test_management_reads_a_compressed_body(main_server: Server) -> None:
    text = '{"url": "absent"}'
    for body in (text.encode(), codecs.BOM_UTF8 + text.encode(), text.encode("utf-16")):
        reply = main_server.management.post(
            "/models",
            gzip.compress(body),
            content_type=JSON,
            headers={"Content-Encoding": "gzip"},
        )
        assert reply.json()["message"] == "Model not found in model store: absent"


# Charsets


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("text/plain; charset=iso-8859-1", b"gr\xfcn", "grün"),
        ('text/csv;header=present; Charset="Windows-1252"', b"10\x80", "10€"),
        ("text/plain; charset=utf-16", "grün".encode("utf-16"), "grün"),
        ("text/plain; charset=UTF8", "grün".encode(), "grün"),
        ("text/plain; charset=", "grün".encode(), "grün"),
        ("application/json; charset=latin-1", b'{"a": "gr\xfcn"}', {"a": "grün"}),
        ("application/json; charset=utf-16", '{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ("application/json", codecs.BOM_UTF8 + b'{"a": 1}', {"a": 1}),
        ("application/json; charset=utf-8", codecs.BOM_UTF8 + b"[]", []),
        ("application/json", '{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ("application/json", codecs.BOM_UTF16_BE + '["é"]'.encode("utf-16-be"), ["é"]),
        ("application/json; charset=utf-8", '["é"]'.encode("utf-32"), ["é"]),
        ("text/plain", "grün".encode("utf-16"), "grün"),
    ],
)
def test_a_text_is_read_in_its_charset(
    server: Server, content_type: str, body: bytes, value: object
) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    shown = server.inference.post(path, body, content_type=content_type).json()["data"]["body"]
    assert shown["value"] == value


def test_the_charset_of_a_part_counts_too(server: Server) -> None:
    part = Part("t", b"gr\xfcn", filename="t.txt", content_type="text/plain; charset=latin-1")
    body, content_type = multipart(part)
    path = f"/predictions/{server.shared('inspect')}"
    shown = server.inference.post(path, body, content_type=content_type).json()
    assert shown["data"]["t"]["value"] == "grün"


@pytest.mark.parametrize(
    "charset", ["klingon", "utf\xe98", "idna", "zip", "base64", "unicode_escape", "\x00"]
)
def test_a_charset_that_is_not_known_is_400_and_named(server: Server, charset: str) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    reply = server.inference.post(path, b"x", content_type=f"text/plain; charset={charset}")
    assert reply.status == 400
    if charset != "\x00":
        assert charset in reply.json()["message"]


def test_text_that_is_not_in_its_charset_is_400(server: Server) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    reply = server.inference.post(path, b"\xff", content_type="text/plain; charset=ascii")
    assert (reply.status, reply.json()["message"]) == (
        400,
        "The body is not valid ascii, as its content type says: byte 0xff at position 0",
    )


# Heads


_PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"POST /predictions/noop?" + b"a" * 30_000,
        _PING + b"X-Long: " + b"a" * 30_000,
        _PING + b"X-Some: header\r\n" * 2000,
    ],
    ids=["line", "header", "headers"],
)
def test_a_head_without_an_end_is_refused_or_ends_the_connection(
    server: Server, data: bytes
) -> None:
    for client in (server.inference, server.management):
        with client.wire() as wire:
            wire.send(data)
            received = wire.read_to_end()
            assert received == b"" or received.split(b" ", 2)[1] in (b"400", b"414", b"431")


@pytest.mark.parametrize(
    ("data", "status", "limit"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "4096"),
        (b"GET /ping?" + b"a" * 12_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "4096"),
        (_PING + b"X-Long: " + b"a" * 9000 + b"\r\n\r\n", 431, "8192"),
        (_PING + b"X-Long: " + b"a" * 18_000 + b"\r\n\r\n", 431, "8192"),
        (_PING + b"X-Some: header\r\n" * 700 + b"\r\n", 431, "8192"),
    ],
    ids=[
        "line",
        "long line",
        "header",
        "long header",
        "headers",
    ],
)
def test_what_is_too_long_for_a_head_is_told_with_its_limit(
    server: Server, data: bytes, status: int, limit: str
) -> None:
    for client in (server.inference, server.management):
        with client.wire() as wire:
            wire.send(data)
            reply = wire.read_reply()
            assert (reply.status, reply.header("connection")) == (status, "close")
            assert limit in reply.json()["message"]
    server.wait_for_log("mms_log.log", rf"Refused a request of .*{limit} bytes")
