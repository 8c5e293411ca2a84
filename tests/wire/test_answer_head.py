"""What the front takes from a worker as the head of an answer."""

from __future__ import annotations

import pytest

from mms.wire import ProtocolError
from mms.wire.answer_head import check_head


@pytest.mark.parametrize(
    ("status", "phrase", "headers"),
    [
        (200, b"", b""),
        (200, b"OK", b"content-type: text/plain\r\nX-a: \xe9\tb\r\n"),
        (599, "\u4e00".encode(), b"a:\r\n"),
        (200, b"", b"x: " + b"a" * 10_000 + b"\r\n"),
    ],
)
def test_what_a_worker_sends_is_taken(status, phrase, headers):
    for _ in range(2):
        check_head(status, phrase, headers)


@pytest.mark.parametrize("status", [0, 100, 199, 600, 999, 65535])
def test_a_status_that_ends_no_request_is_refused(status):
    check_head(200, b"known", b"known: 1\r\n")
    with pytest.raises(ProtocolError, match=f"status {status}"):
        check_head(status, b"known", b"known: 1\r\n")


@pytest.mark.parametrize("phrase", [b"OK\r\nX: 1", b"a\nb", b"a\0b", b"\r"])
def test_a_phrase_that_ends_its_line_is_refused(phrase):
    with pytest.raises(ProtocolError, match="phrase"):
        check_head(200, phrase, b"")


@pytest.mark.parametrize(
    "headers",
    [
        b"a: 1",
        b"a: 1\n",
        b"a: 1\r\n\r\nbody",
        b"a: 1\r\n folded\r\n",
        b"a: 1\nb: 2\r\n",
        b"a: 1\rb: 2\r\n",
        b"a: \0\r\n",
        b"a b: 1\r\n",
        b": 1\r\n",
        b"\xe9: 1\r\n",
        b"\r\n",
    ],
)
def test_what_is_no_header_line_is_refused(headers):
    with pytest.raises(ProtocolError, match="invalid header"):
        check_head(200, b"", b"first: 1\r\n" + headers)


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "CONNECTION", "keep-alive", "x-request-id", "pragma"],
)
def test_headers_that_the_front_sets_are_refused(name):
    with pytest.raises(ProtocolError, match=name):
        check_head(200, b"", f"a: 1\r\n{name}: 1\r\n".encode())
