"""Which traces the lines of a model name."""

from __future__ import annotations

import asyncio
import contextvars
import io
import threading
from collections.abc import Iterable

import pytest

from mms.wire.log_records import decode_record, encode_record
from mms.wire.trace_context import TraceContext
from mms.worker.log_records.named_output import NamedLines
from mms.worker.log_records.running_traces import enter_requests, names_of_traces


def block(trace_id: int, *, is_sampled: bool = True) -> bytes:
    return b"Host\nh\ntraceparent\n" + TraceContext(trace_id, 7, is_sampled).header


def ids(*trace_ids: int) -> str:
    return ",".join(f"{each:032x}" for each in trace_ids)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([], ""),
        ([b""], ""),
        ([b"traceparent\nx trace_id=1"], ""),
        ([block(1)], f" trace_id={ids(1)} span_id={7:016x}"),
        ([bytearray(block(1, is_sampled=False))], f" trace_id={ids(1)} span_id={7:016x}"),
        ([block(1), b"", block(2, is_sampled=False), block(3)], f" trace_id={ids(1, 3)}"),
        ([block(1), block(1)], f" trace_id={ids(1)}"),
        ([block(n) for n in range(1, 33)], f" trace_id={ids(*range(1, 9))}"),
    ],
)
def test_a_line_names_the_traces_of_what_runs(blocks: Iterable[bytes], said: str) -> None:
    def names() -> str:
        enter_requests(blocks)
        return names_of_traces()

    assert contextvars.copy_context().run(names) == said


def test_a_task_goes_on_for_the_request_that_began_it_and_a_thread_for_none() -> None:
    said: dict[str, str] = {}

    async def run() -> None:
        has_next = asyncio.Event()

        async def behind() -> None:
            await has_next.wait()
            said["task"] = names_of_traces()
            said["to_thread"] = await asyncio.to_thread(names_of_traces)

        enter_requests([block(1)])
        task = asyncio.create_task(behind())
        enter_requests([block(2)])
        has_next.set()
        await task
        thread = threading.Thread(target=lambda: said.update(thread=names_of_traces()))
        thread.start()
        thread.join()

    asyncio.run(run())
    assert said["task"] == said["to_thread"] == f" trace_id={ids(1)} span_id={7:016x}"
    assert said["thread"] == ""


def test_each_line_of_a_record_is_named_and_no_longer_than_it_may_be() -> None:
    behind = f" trace_id={ids(1)}"
    lines = encode_record(20, "a", "x" * 5000 + "\ny", behind).rstrip("\n").split("\n")
    texts = [record.text for _, record in map(decode_record, lines) if record is not None]
    assert len(texts) == 3 and all(text.endswith(behind) for text in texts)
    assert max(map(len, texts)) == 4096
    assert "".join(text.removesuffix(behind) for text in texts) == "x" * 5000 + "y"


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (["a", "\n"], "a{}\n"),
        (["a\nb\n"], "a{}\nb{}\n"),
        (["\n", "\n"], "\n\n"),
        (["a", "b\n", "\n"], "ab{}\n\n"),
        (["50 %\r", "c\nd"], "50 %\rc{}\nd"),
        (["[METRICS]Size.Bytes:1|#Level:Model\n"], "[METRICS]Size.Bytes:1|#Level:Model\n"),
        ([encode_record(20, "a", "b", " x")], encode_record(20, "a", "b", " x")),
    ],
)
def test_each_printed_line_that_has_text_is_named_once(printed: list[str], shown: str) -> None:
    stream = io.StringIO()
    output = NamedLines(stream)

    def show() -> list[int]:
        enter_requests([block(1)])
        return [output.write(text) for text in printed]

    assert contextvars.copy_context().run(show) == [len(text) for text in printed]
    assert stream.getvalue() == shown.replace("{}", f" trace_id={ids(1)} span_id={7:016x}")


def test_what_is_printed_for_no_request_stays_as_it_is() -> None:
    stream = io.StringIO()
    NamedLines(stream).write("a\n")
    assert stream.getvalue() == "a\n"


def test_a_thread_that_runs_in_a_copy_of_the_context_names_its_request() -> None:
    said: list[str] = []

    def begin() -> None:
        enter_requests([block(1)])
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(lambda: said.append(names_of_traces()),))
        thread.start()
        thread.join()

    contextvars.copy_context().run(begin)
    assert said == [f" trace_id={ids(1)} span_id={7:016x}"]
