"""The header `traceparent`."""

from __future__ import annotations

import pytest

from mms.wire.trace_context import TraceContext, context_of, parse, with_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_what_is_written_can_be_read() -> None:
    context = TraceContext(int(TRACE, 16), int(SPAN, 16), True)
    assert context.header == f"00-{TRACE}-{SPAN}-01".encode()
    assert parse(context.header) == context


def test_a_later_version_may_say_more() -> None:
    found = parse(f"01-{TRACE}-{SPAN}-03-more".encode())
    assert found == (int(TRACE, 16), int(SPAN, 16), True)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x" * 100_000,
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\r\nX: y",
    ],
)
def test_what_is_no_context_is_none(value: str) -> None:
    assert parse(value.encode()) is None


def test_two_of_them_are_none() -> None:
    one = f"traceparent\n00-{TRACE}-{SPAN}-01"
    assert context_of(one.encode()) is not None
    assert context_of(f"{one}\nTraceparent\n00-{TRACE}-{SPAN}-01".encode()) is None


def test_a_new_trace_has_no_state_of_another_one() -> None:
    context = TraceContext(1, 2, False)
    block = b"TraceState\na=1\nX\ny\ntracestate\nb=2"
    end = b"traceparent\n" + context.header
    assert with_context(block, context, is_new=True) == b"X\ny\n" + end
    assert with_context(block, context) == block + b"\n" + end


def test_a_block_gets_one_in_place_of_all_others() -> None:
    context = TraceContext(1, 2, False)
    block = b"Host\nh\nTraceParent\nold\nX\ny\ntraceparent\nolder"
    assert with_context(block, context) == b"Host\nh\nX\ny\ntraceparent\n" + context.header
    assert with_context(b"", context) == b"traceparent\n" + context.header
