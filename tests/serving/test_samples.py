"""What is shown of requests and answers, and what never."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.core import Request
from mms.errors import ServiceUnavailable
from mms.serving.samples import HIDDEN, Redaction, RequestSamples

RULES = Redaction(("Password", "token"))


class _Reply:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def answer(self, *parts: Any) -> None:
        self.calls.append(parts[1:])

    def fail(self, request: Request, error: Exception) -> None:
        self.calls.append(error)

    def give_up(self) -> None: ...


class _StreamReply(_Reply):
    def open_stream(self, *parts: Any) -> Any:
        self.calls.append("stream")
        return self


def request_of(reply: Any = None, *, name: str = "m", body: bytes = b"{}") -> Request:
    headers = b"Authorization\nBearer s3cret\nX\ny"
    return Request(
        b"id",
        name,
        None,
        True,
        b"application/json",
        b"token=s3cret&a=1",
        headers,
        body,
        reply or _Reply(),
        1.0,
    )


def test_names_are_hidden_at_any_depth_and_in_any_case() -> None:
    body = json.dumps({"a": [{"PASSWORD": {"x": "s3cret"}, "b": 1}], "token": ["s3cret"]}).encode()
    shown = RULES.body("application/json", body)
    assert shown["json"] == {"a": [{"PASSWORD": HIDDEN, "b": 1}], "token": HIDDEN}


def test_a_document_that_says_to_be_text_is_read_as_one() -> None:
    for before in (b"", b"\r\n ", b"\xef\xbb\xbf"):
        assert "s3cret" not in str(RULES.body("text/plain", before + b'{"token": "s3cret"}'))


def test_credentials_are_hidden_without_any_rule() -> None:
    pairs = [("Authorization", "s"), ("COOKIE", "s"), ("x-api-key", "s"), ("a", "b")]
    assert Redaction().pairs(pairs)[-1] == ("a", "b")
    assert {value for _, value in Redaction().pairs(pairs)[:-1]} == {HIDDEN}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"token": "s3cret"'),
        ("application/json", b"[" * 100_000),
        ("application/json", b"[" * 10_000 + b"]" * 10_000),
        ("application/json", b'{"token": "s3cret", "x": "' + b"x" * 20_000 + b'"}'),
        ("application/x-www-form-urlencoded", b"a=1&token=s3cret"),
        ("application/x-www-form-urlencoded", b"token=s3cret&" + b"a=1&" * 2000),
        ("application/x-www-form-urlencoded", b"a=1&" * 500 + b"token=s3cret"),
        ("multipart/form-data; boundary=b", b"--b s3cret"),
        ("image/png", b"\x89PNG s3cret"),
        ("", b"s3cret\0"),
    ],
)
def test_what_cannot_be_read_is_not_shown(kind: str, body: bytes) -> None:
    shown = RULES.body(kind, body)
    assert shown["bytes"] == len(body)
    assert "s3cret" not in str(shown)


def test_a_text_is_cut() -> None:
    shown = RULES.body("text/plain", "\N{SNOWMAN}".encode() * 10_000)
    assert shown["isCut"] and len(shown["text"]) < 5000


def test_a_request_and_its_answer_are_a_sample_and_the_client_s_answer_is_the_same() -> None:
    samples, reply, woken = RequestSamples(RULES), _Reply(), []
    with samples.watched("m", 1, lambda: woken.append(1)) as watcher:
        assert samples.is_on
        request = request_of(reply, body=b'{"token": "s3cret", "a": 1}')
        samples.note_request(request)
        samples.note_request(request_of(name="other"))
        request.answer(200, b"OK", b"Content-Type: text/plain\r\nSet-Cookie: s3cret\r\n", b"hi")
        (sample,) = watcher.samples
    assert not samples.is_on and woken == [1]
    assert reply.calls == [
        (200, b"OK", b"Content-Type: text/plain\r\nSet-Cookie: s3cret\r\n", b"hi")
    ]
    assert "s3cret" not in json.dumps(sample)
    assert sample["request"]["body"]["json"] == {"token": HIDDEN, "a": 1}
    assert sample["request"]["query"] == f"token={HIDDEN}&a=1"
    assert sample["request"]["headers"] == {"Authorization": HIDDEN, "X": "y"}
    assert sample["answer"]["status"] == 200 and sample["answer"]["body"]["text"] == "hi"


def test_no_more_than_were_asked_for_are_kept() -> None:
    samples = RequestSamples(RULES)
    with samples.watched("m", 2, lambda: None) as watcher:
        for _ in range(5):
            request = request_of()
            samples.note_request(request)
            request.fail(ServiceUnavailable("full"))
        assert [found["answer"]["status"] for found in watcher.samples] == [503, 503]


def test_few_may_look_at_once() -> None:
    samples = RequestSamples(RULES)
    watchers = [samples.watched("m", 1, lambda: None) for _ in range(9)]
    for watcher in watchers[:8]:
        watcher.__enter__()
    with pytest.raises(ServiceUnavailable, match="8 clients"):
        watchers[8].__enter__()
    watchers[0].__exit__(None, None, None)
    with samples.watched("m", 1, lambda: None):
        pass


def test_a_reply_takes_parts_only_if_the_client_s_does() -> None:
    samples = RequestSamples(RULES)
    with samples.watched("m", 2, lambda: None) as watcher:
        plain, parts = request_of(_Reply()), request_of(_StreamReply())
        samples.note_request(plain)
        samples.note_request(parts)
        reply: Any = parts.reply
        assert not hasattr(plain.reply, "open_stream")
        assert isinstance(reply.open_stream(parts, 200, b"", b"", None), _StreamReply)
        assert watcher.samples[0]["answer"]["body"] == {"omitted": "it comes in parts"}


def test_a_sample_that_cannot_be_made_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    samples, reply = RequestSamples(RULES), _Reply()
    with samples.watched("m", 1, lambda: 1 / 0):
        request = request_of(reply)
        samples.note_request(request)
        request.answer(200, b"", b"", b"x")
    assert len(reply.calls) == 1
