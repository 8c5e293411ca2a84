"""One batch, from the front's frame to its results; no process, no socket."""

from __future__ import annotations

import asyncio
import http
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.batches import encode_batch

from mms.context import Context
from mms.metrics.dimension import Dimension
from mms.service import PredictionException
from mms.wire import LAST, SUCCEEDED, Load
from mms.worker.loading.model import Model
from mms.worker.running.batch_runner import BatchRunner

from .front import Answer, BatchOutcome, Request, Worker


class Sent:
    """Stands for the outbox: what the batch put into it, flush by flush."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = []
        self.flushed_count = 0
        self.is_lent = False

    def lend(self) -> None:
        self.is_lent = True

    def take_back(self) -> None:
        self.is_lent = False

    def add(self, buffers: list[bytes], now_ns: int) -> None:
        assert not self.is_lent
        self.buffers += [bytes(buffer) for buffer in buffers]

    def flush_due(self, now_ns: int, expected_ns: int) -> None:
        return

    def flush(self) -> None:
        assert not self.is_lent
        self.flushed_count = len(self.buffers)


class Replay:
    """Stands for the connection of `Worker`, so that its reading of results is used here too."""

    def __init__(self, content: bytes) -> None:
        from mms.wire import FrameDecoder

        self._frames = []
        decoder = FrameDecoder(1 << 40)
        while content:
            buffer = decoder.get_buffer()
            size = min(len(buffer), len(content))
            buffer[:size] = content[:size]
            content = content[size:]
            self._frames += decoder.received(size)

    def peer_pid(self) -> int:
        return 0

    def receive(self) -> Any:
        return self._frames.pop(0) if self._frames else None


class Bench:
    """A runner and what it said."""

    def __init__(self, entry_point: Callable[..., Any], **options: Any) -> None:
        self.context = Context("m", "/model", None, 8, None, "1")
        self.sent = Sent()
        load = Load("m", None, "/model", "service", **options)
        model = Model("mms", entry_point, self.context)
        self.runner = BatchRunner(model, load, self.sent, {})  # type: ignore[arg-type]

    def run(self, *requests: Request) -> BatchOutcome:
        for index, request in enumerate(requests):
            request.id = request.id or b"%036d" % index
        buffers = encode_batch(7, requests, 0.0)
        payload = bytes(buffers[0])[16:]
        attachments = [bytearray(buffer) for buffer in buffers[2::2]]
        self.sent.buffers.clear()
        self.runner.run(7, payload, attachments)
        replay: Any = Replay(b"".join(self.sent.buffers))
        return Worker(replay, None, None).read_outcome(7, len(requests))  # type: ignore[arg-type]

    def answer(self, body: bytes = b"") -> Answer:
        return self.run(Request(body)).answers[0]


def returning(value: Any) -> Callable[..., Any]:
    return lambda data, context: [value] * len(data)


def raising(error: BaseException) -> Callable[..., Any]:
    def handle(data: Any, context: Any) -> Any:
        raise error

    return handle


# Results


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"\x00\xff"), b"\x00\xff"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(b"abcd").cast("H"), b"abcd"),
        ("grün", "grün".encode()),
        ("", b""),
        ({"a": [1]}, b'{\n  "a": [\n    1\n  ]\n}'),
        (None, b"null"),
        (17, b"17"),
        (float("nan"), b"NaN"),
        (http.HTTPStatus.OK, b"200"),
        (b"x" * 100_000, b"x" * 100_000),
    ],
)
def test_a_result_is_written_by_its_type(value: Any, body: bytes) -> None:
    outcome = Bench(returning(value)).run(Request(b"1"), Request(b"2"))
    assert outcome.answers == [Answer(200, body)] * 2
    assert outcome.is_succeeded


@pytest.mark.parametrize("value", [object(), {1}, "\ud800", [b"x"]])
def test_a_result_that_cannot_be_written_fails_alone(value: Any) -> None:
    outcome = Bench(lambda data, context: ["good", value, "good"]).run(*[Request()] * 3)
    unsupported = b"Unsupported model output data type."
    assert outcome.answers == [
        Answer(200, b"good"),
        Answer(503, unsupported, is_failed=True),
        Answer(200, b"good"),
    ]
    assert outcome.is_succeeded


def test_a_result_over_the_limit_fails_alone_with_its_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = Bench(lambda data, context: ["x" * 10, "x" * 11], max_response_bytes=10)
    message = b"Response of 11 bytes is larger than max_response_size (10 bytes)"
    assert bench.run(Request(), Request()).answers == [
        Answer(200, b"x" * 10),
        Answer(500, message, is_failed=True),
    ]
    assert message.decode() in capsys.readouterr().err


def test_heads_belong_to_their_requests() -> None:
    def handle(data: Any, context: Context) -> list[str]:
        context.set_response_status(203, "Very Good", idx=1)
        context.set_response_header(0, "X-Own", "zero")
        context.set_response_content_type(2, "text/plain")
        return ["a", "b", "c"]

    assert Bench(handle).run(*[Request()] * 3).answers == [
        Answer(200, b"a", "X-Own: zero\r\n"),
        Answer(203, b"b", "", "Very Good"),
        Answer(200, b"c", "content-type: text/plain\r\n"),
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.set_response_status("x", idx=1), "response status 'x' is not an integer"),
        (lambda c: c.set_response_status(200, 17, idx=1), "reason phrase is not text, but int"),
        (lambda c: c.set_response_header(1, "X-Own", 17), "X-Own is not text, but int"),
        (lambda c: c.set_response_content_type(1, "a\r\nX: 1"), "control character"),
    ],
)
def test_a_head_that_cannot_be_sent_fails_its_request_alone(
    call: Callable[[Context], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def handle(data: Any, context: Context) -> list[str]:
        call(context)
        return ["a", "b", "c"]

    answers = Bench(handle).run(*[Request()] * 3).answers
    assert [answer.status for answer in answers] == [200, 503, 200]
    assert answers[1].is_failed
    assert message in answers[1].body.decode()
    assert message in capsys.readouterr().err


def test_an_error_status_of_the_handler_keeps_its_body() -> None:
    def handle(data: Any, context: Context) -> list[str]:
        context.set_all_response_status(507)
        return ["Invalid response"]

    assert Bench(handle).answer() == Answer(507, b"Invalid response")


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ({"a": 1}, "content-type: application/json\r\n"),
        ([1], "content-type: application/json\r\n"),
        ("text", ""),
        (17, ""),
        (None, ""),
    ],
)
def test_dicts_and_lists_get_a_json_type_where_that_is_switched_on(
    value: Any, headers: str
) -> None:
    assert Bench(returning(value), json_content_type=True).answer().headers == headers
    assert Bench(returning(value)).answer().headers == ""


# Failures


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ((1,), "Invalid model predict output"),
        ("a", "Invalid model predict output"),
        (None, "Invalid model predict output"),
        ({}, "Invalid model predict output"),
        (iter([1]), "Invalid model predict output"),
        ([], "number of batch response mismatched"),
        ([1, 2, 3], "number of batch response mismatched"),
    ],
)
def test_a_wrong_return_fails_the_batch(result: Any, message: str) -> None:
    outcome = Bench(lambda data, context: result).run(Request(), Request())
    assert outcome.answers == [Answer(503, message.encode(), is_failed=True)] * 2
    assert not outcome.is_succeeded


def test_the_length_counts_that_the_handler_was_given() -> None:
    def handle(data: list[Any], context: Context) -> list[str]:
        data.clear()
        return ["a", "b"]

    assert Bench(handle).run(Request(), Request()).is_succeeded


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no words")


class OwnPredictionException(PredictionException):
    pass


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("x"), 503, "Prediction failed"),
        (AssertionError(), 503, "Prediction failed"),
        (RecursionError(), 503, "Prediction failed"),
        (KeyboardInterrupt(), 503, "Prediction failed"),
        (asyncio.CancelledError(), 503, "Prediction failed"),
        (GeneratorExit(), 503, "Prediction failed"),
        (MemoryError(), 507, "Out of resources"),
        (PredictionException("Some Prediction Error", 599), 599, "Some Prediction Error"),
        (PredictionException("x"), 500, "x"),
        (PredictionException("grün", 403), 403, "grün"),
        (OwnPredictionException("own", 418), 418, "own"),
        (PredictionException({"not": "text"}), 500, "{'not': 'text'}"),  # type: ignore[arg-type]
        (PredictionException(None), 500, ""),  # type: ignore[arg-type]
        (
            PredictionException(Unspeakable()),  # type: ignore[arg-type]
            500,
            "The message of PredictionException is no text (ValueError)",
        ),
        (PredictionException("x", "y"), 500, "x"),  # type: ignore[arg-type]
        (PredictionException("x", 5), 500, "x"),
        (PredictionException("\ud800", 400), 400, "?"),
    ],
)
def test_an_error_of_the_handler_fails_every_request_of_the_batch(
    error: BaseException, status: int, message: str
) -> None:
    outcome = Bench(raising(error)).run(Request(), Request(), Request())
    assert outcome.answers == [Answer(status, message.encode(), is_failed=True)] * 3
    assert not outcome.is_succeeded


def test_an_error_is_logged_with_the_ids_and_the_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def handle(data: Any, context: Any) -> Any:
        raise ValueError("this is why")

    Bench(handle).run(Request(id=b"a" * 36), Request(id=b"b" * 36))
    shown = capsys.readouterr().err
    assert shown.startswith(f"Model m failed for {'a' * 36},{'b' * 36}:\nTraceback")
    assert "ValueError: this is why" in shown
    assert "in handle" in shown
    assert "/mms/worker/" not in shown, (
        "the server's own frames are of no use to the model's author"
    )


def test_an_exit_of_the_handler_is_not_held_up_and_loses_no_earlier_answer() -> None:
    bench = Bench(raising(SystemExit(3)))
    bench.sent.buffers.append(b"an earlier answer")
    with pytest.raises(SystemExit):
        bench.runner.run(7, bytes(encode_batch(7, [Request(id=b"i" * 36)], 0.0)[0])[16:], [])
    assert bench.sent.flushed_count == 1


# Input


def test_what_cannot_be_decoded_does_not_reach_the_handler_and_fails_alone() -> None:
    seen: list[Any] = []

    def handle(data: list[dict[str, Any]], context: Context) -> list[Any]:
        seen.append((list(data), dict(context.request_ids or {})))
        context.set_response_status(201, idx=1)
        return [item["body"] for item in data]

    bad = Request(b"{", b"application/json", id=b"bad".ljust(36))
    good = [Request(b"%d" % n, b"application/json", id=b"%036d" % n) for n in range(2)]
    answers = Bench(handle).run(bad, good[0], bad, good[1], bad).answers
    assert [answer.status for answer in answers] == [400, 200, 400, 201, 400]
    assert [answer.body for answer in answers[1::2]] == [b"0", b"1"]
    assert {answer.type_name for answer in answers[::2]} == {"BadRequestException"}
    assert seen == [([{"body": 0}, {"body": 1}], {0: f"{0:036d}", 1: f"{1:036d}"})]


def test_refusals_go_out_before_the_handler_is_called() -> None:
    flushed: list[int] = []

    def handle(data: Any, context: Context) -> list[str]:
        flushed.append(bench.sent.flushed_count)
        return ["a"]

    bench = Bench(handle)
    bench.run(Request(b"{", b"application/json"), Request())
    assert flushed == [1]


def test_where_nothing_can_be_decoded_the_handler_is_not_called() -> None:
    def handle(data: Any, context: Context) -> Any:
        raise AssertionError("called")

    outcome = Bench(handle).run(*[Request(b"{", b"application/json")] * 2)
    assert [answer.status for answer in outcome.answers] == [400, 400]
    assert not outcome.is_succeeded
    assert outcome.entry_point_ns == 0


def test_decoding_is_off_where_the_load_says_so() -> None:
    bench = Bench(lambda data, context: [str(data)], decode_input_request=False)
    outcome = bench.run(Request(b"{", b"application/json"))
    assert outcome.answers[0].body == b"[{'body': bytearray(b'{')}]"


# Context and metrics


def test_the_context_is_the_same_object_and_shows_each_batch_anew() -> None:
    seen: list[Any] = []

    def handle(data: Any, context: Context) -> list[str]:
        seen.append((id(context), id(context.metrics), context.get_request_id()))
        context.set_response_status(201)
        return ["a"] * len(data)

    bench = Bench(handle)
    assert bench.run(Request(id=b"1" * 36)).answers[0].status == 201
    bench.runner._entry_point = lambda data, context: [str(context.get_response_status(0))]
    assert bench.run(Request(id=b"2" * 36)).answers[0].body == b"(200, None)"
    assert seen == [(id(bench.context), seen[0][1], "1" * 36)]
    assert bench.context.request_ids == {0: "2" * 36}


def test_metrics_go_before_the_results_and_not_twice() -> None:
    def handle(data: Any, context: Any) -> list[str]:
        if data[0]["body"]:
            context.metrics.add_time("Own", 1.5, idx=0, dimensions=[Dimension("A", "b")])
        return ["a"] * len(data)

    bench = Bench(handle)
    (line,) = bench.run(Request(b"x", id=b"i" * 36)).metrics
    assert line.startswith("Own.Milliseconds:1.5|#A:b,ModelName:m,Level:Model|#hostname:")
    assert line.endswith("," + "i" * 36)
    assert bench.run(Request(b"")).metrics == []


def test_metrics_of_a_failed_batch_are_kept() -> None:
    def handle(data: Any, context: Any) -> list[str]:
        context.metrics.add_error("Burnt", 1)
        raise ValueError

    (line,) = Bench(handle).run(Request()).metrics
    assert line.startswith("Burnt.:1|#Level:Error|#hostname:")


# Coroutines


def test_coroutines_run_on_one_loop_that_keeps_its_tasks() -> None:
    tasks: list[asyncio.Task[str]] = []

    async def later() -> str:
        await asyncio.sleep(0)
        return "from a task of an earlier batch"

    async def handle(data: Any, context: Context) -> list[str]:
        if not tasks:
            tasks.append(asyncio.ensure_future(later()))
            return ["started"]
        return [await tasks[0]]

    bench = Bench(handle)
    assert bench.answer().body == b"started"
    assert bench.answer().body == b"from a task of an earlier batch"


def test_an_object_that_can_be_called_and_awaited_is_an_entry_point() -> None:
    class Handler:
        async def __call__(self, data: Any, context: Context) -> list[str]:
            return ["called"]

    assert Bench(Handler()).answer().body == b"called"


def test_an_error_of_a_coroutine_fails_its_batch() -> None:
    async def handle(data: Any, context: Context) -> list[str]:
        raise PredictionException("from a coroutine", 418)

    assert Bench(handle).answer() == Answer(418, b"from a coroutine", is_failed=True)


def test_results_say_when_they_are_the_last_and_how_long_the_entry_point_took() -> None:
    outcome = Bench(returning("x")).run(Request())
    assert outcome.entry_point_ns > 0
    assert (LAST, SUCCEEDED) == (1, 2)


def test_headers_are_found_as_spelled_and_in_any_case() -> None:
    block = b"Content-Type\na/b; c=d\nX-Twice\n1\nX-Twice\n2\nX-Latin\n\xfc"

    def handle(data: Any, context: Any) -> list[Any]:
        return [
            [
                context.get_request_header(0, name)
                for name in ("Content-Type", "content-type", "X-TWICE", "x-latin", "Absent", "BODY")
            ]
            + [
                context.get_all_request_header(0),
                context.request_processor.get_request_property("body"),
            ]
        ]

    answer = Bench(handle).run(Request(b"x", b"a/b; c=d", headers=block)).answers[0]
    shown = json.loads(answer.body)
    assert shown[:6] == ["a/b; c=d", "a/b; c=d", "2", "ü", None, None]
    assert shown[6] == {
        "body": {"content-type": "a/b"},
        "Content-Type": "a/b; c=d",
        "X-Twice": "2",
        "X-Latin": "ü",
    }
    assert shown[7] == {"content-type": "a/b"}


def test_nothing_of_a_batch_is_kept_alive_after_it() -> None:
    large = bytearray(b"x" * 200_000)
    bench = Bench(returning("x"))
    payload_buffers = encode_batch(7, [Request(large, id=b"i" * 36)], 0.0)
    before = sys.getrefcount(large)
    bench.runner.run(7, bytes(payload_buffers[0])[16:], [large])
    assert sys.getrefcount(large) == before
