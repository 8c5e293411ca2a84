"""A stream of requests: how many are under way, and how it ends."""

from __future__ import annotations

import gzip
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from mms.errors import UNAVAILABLE, ModelNotFound, TooManyRequests
from mms.grpc.call import Call, Method
from mms.grpc.head import CallHead
from mms.grpc.status import OK
from mms.interfaces.oip.front.messages import CLASSES
from mms.interfaces.oip.front.streams.infer_stream import InferStream
from mms.limits.inflating import Inflater

BODY = CLASSES["ModelInferRequest"](model_name="m", id="7").SerializeToString()


class PlayedCall:
    """What a stream needs of its call; keeps what it was told."""

    def __init__(self) -> None:
        self.id = b"id"
        self.taken_bytes = 0
        self.is_full = self.is_ended = False
        self.on_cancel: Any = None
        self.sent: list[Any] = []
        self.recorded: list[int] = []
        self.code: int | None = None
        self.charged = 0
        self.left = 1000
        self.went_on = 0
        self.connection = SimpleNamespace(go_on=self._go_on)

    def _go_on(self, call: Any) -> None:
        self.went_on += 1

    def send(self, message: bytes) -> None:
        self.sent.append(CLASSES["ModelStreamInferResponse"].FromString(message))

    def record(self, http_status: int, *of_request: Any) -> None:
        self.recorded.append(http_status)

    def charge(self) -> None:
        self.charged += 1
        if self.charged > self.left:
            raise TooManyRequests("The client has sent too many.", 1)

    def finish(self, status: Any) -> None:
        self.code, self.is_ended = status.code, True


class Played:
    """A stream whose models answer when the test says so."""

    def __init__(self, call: Any = None) -> None:
        self.call = call or PlayedCall()
        self.replies: list[Any] = []
        self.cancelled: list[Any] = []
        self.stream = InferStream(self.call, self._submit, self.cancelled.append)

    def _submit(self, call: Any, body: Any, head: Any, reply: Any) -> Any:
        if head.name != "m":
            raise ModelNotFound(f"Model not found: {head.name}")
        self.replies.append(reply)
        return SimpleNamespace(name=head.name, version=None)

    def answer(self, reply: Any) -> None:
        reply.answer(None, 200, b"", b"", CLASSES["ModelInferResponse"](id="7").SerializeToString())


@pytest.fixture
def played() -> Played:
    return Played()


def test_a_stream_takes_no_more_than_so_many_at_once_and_goes_on_when_one_is_answered(
    played: Played,
) -> None:
    for _ in range(64):
        assert not played.call.is_full
        played.stream.message(BODY)
    assert played.call.is_full
    assert played.call.taken_bytes == 64 * len(BODY)
    played.answer(played.replies[0])
    assert not played.call.is_full
    assert (played.call.went_on, played.call.taken_bytes) == (1, 63 * len(BODY))
    assert played.call.sent[0].infer_response.id == "7"


def test_large_messages_fill_it_sooner(played: Played) -> None:
    played.stream.message(BODY + b"\x3a\x80\x80\x80\x08" + bytes(16 * 2**20))
    assert played.call.is_full
    played.answer(played.replies[0])
    assert (played.call.is_full, played.call.taken_bytes) == (False, 0)


def test_it_ends_once_the_client_and_all_models_are_done(played: Played) -> None:
    played.stream.message(BODY)
    played.stream.half_closed()
    assert played.call.code is None
    played.answer(played.replies[0])
    assert played.call.code == OK


def test_a_server_that_stops_ends_it_after_what_runs(played: Played) -> None:
    played.stream.message(BODY)
    played.stream.leave()
    assert played.call.code is None
    played.answer(played.replies[0])
    assert played.call.code == UNAVAILABLE


def test_a_wrong_message_gets_its_error_with_its_id_and_the_stream_goes_on(played: Played) -> None:
    played.stream.message(CLASSES["ModelInferRequest"](model_name="n", id="8").SerializeToString())
    played.stream.message(b"\xff")
    assert [sent.infer_response.id for sent in played.call.sent] == ["8", ""]
    assert "Model not found: n" in played.call.sent[0].error_message
    assert "ModelInferRequest" in played.call.sent[1].error_message
    assert (played.call.recorded, played.call.taken_bytes) == ([404, 400], 0)
    played.stream.message(BODY)
    assert len(played.replies) == 1


def test_each_message_but_the_first_counts_for_the_rate_of_its_client(played: Played) -> None:
    played.call.left = 1
    for _ in range(3):
        played.stream.message(BODY)
    assert len(played.replies) == 2
    assert played.call.recorded == [429]


def test_broken_messages_count_for_the_rate_of_their_client_too(played: Played) -> None:
    played.call.left = 1
    for _ in range(3):
        played.stream.message(b"\xff")
    assert (played.call.charged, played.call.recorded) == (2, [400, 400, 429])
    played.stream.message(BODY)
    assert (played.replies, played.call.sent[-1].infer_response.id) == ([], "7")


def test_a_client_that_leaves_takes_all_of_its_requests_back(played: Played) -> None:
    played.stream.message(BODY)
    played.stream.message(BODY)
    played.call.on_cancel()
    assert len(played.cancelled) == 2
    assert played.call.recorded == [499, 499]


class PlayedConnection:
    """Of a real call: keeps its answers, and is its owner as well."""

    max_message_bytes = 1000
    trusts_request_ids = False

    def __init__(self) -> None:
        self.inflater = Inflater(100.0)
        self.answers = 0
        self.recorded: list[int] = []
        self.ended = 0

    def send(self, call: Any, message: bytes, trailers: bytes | None) -> None:
        self.answers += bool(message)

    def unfold(self, call: Any, inflation: Any) -> None:
        pass

    def go_on(self, call: Call) -> None:
        call.go_on()

    def charge(self, call: Any) -> None:
        pass

    def record(self, call: Any, http_status: int, problem: str) -> None:
        self.ended = http_status

    def record_message(self, call: Any, http_status: int, *of_request: Any) -> None:
        self.recorded.append(http_status)


@pytest.mark.parametrize(("encoding", "flag"), [(b"", 0), (b"gzip", 1)])
async def test_a_thousand_messages_that_fail_at_once_are_answered_behind_those_that_wait(
    encoding: bytes, flag: int
) -> None:
    connection = PlayedConnection()
    streams: list[Played] = []

    def open_stream(call: Call) -> Any:
        streams.append(Played(call))
        return streams[0].stream

    head = CallHead(b"/s/m", None, encoding, b"", {})
    method = Method(b"/s/m", open=open_stream)
    call = Call(connection, connection, 1, head, method, 0, 0)  # type: ignore[arg-type]  # what a stream needs of them
    call.open()
    unknown = CLASSES["ModelInferRequest"](model_name="n").SerializeToString()
    bodies = [BODY] * 63 + [unknown] * 1000
    if flag:
        bodies = [gzip.compress(body, mtime=0) for body in bodies]
    call.feed(b"".join(struct.pack(">BI", flag, len(body)) + body for body in bodies), True)
    assert len(streams[0].replies) == 63
    assert connection.recorded == [404] * 1000
    assert (connection.answers, connection.ended) == (1000, 0)
    for reply in streams[0].replies:
        streams[0].answer(reply)
    assert (connection.answers, connection.ended) == (1063, 200)
