"""The headers `traceparent` and `tracestate` (W3C Trace Context, level 1), and where a request has them."""

from __future__ import annotations

import re
from typing import NamedTuple

NAME = b"traceparent"
#: What vendors add to it; without a valid `traceparent` it belongs to no trace.
_STATE = b"tracestate"
_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
#: What a line of a log begins the name of a trace with.
WORD = "trace_id="


class TraceContext(NamedTuple):
    """Names a span among all spans of the world."""

    trace_id: int
    span_id: int
    is_sampled: bool

    @property
    def header(self) -> bytes:
        """The value of `traceparent`."""
        flags = _SAMPLED if self.is_sampled else 0
        return b"00-%032x-%016x-%02x" % (self.trace_id, self.span_id, flags)


def parse(value: bytes) -> TraceContext | None:
    """Return what a value of `traceparent` says, None where it is none."""
    found = _FORM.fullmatch(value.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more):
        return None
    context = TraceContext(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))
    return context if context.trace_id and context.span_id else None


def context_of(headers: bytes) -> TraceContext | None:
    """Return the context in a header block (`RequestHead.headers`), None where there is not exactly one."""
    parts = headers.split(b"\n")
    found = [value for name, value in zip(parts[::2], parts[1::2], strict=False) if _is_it(name)]
    return parse(found[0]) if len(found) == 1 else None


def words_of(context: TraceContext) -> str:
    """Return what a line of a log says of a request's span."""
    return f"{WORD}{context.trace_id:032x} span_id={context.span_id:016x}"


def with_context(headers: bytes, context: TraceContext, *, is_new: bool = False) -> bytes:
    """Return a header block whose `traceparent` is this one. `is_new`: of a new trace, which has no `tracestate`."""
    parts = headers.split(b"\n") if headers else []
    kept = [
        part
        for name, value in zip(parts[::2], parts[1::2], strict=False)
        if not (_is_it(name) or (is_new and _is_it(name, _STATE)))
        for part in (name, value)
    ]
    return b"\n".join((*kept, NAME, context.header))


def _is_it(name: bytes, wanted: bytes = NAME) -> bool:
    return len(name) == len(wanted) and name.lower() == wanted
