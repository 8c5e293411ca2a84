"""The header `traceparent` (W3C Trace Context, level 1), and where it stands among the headers of a request."""

from __future__ import annotations

import re
from typing import NamedTuple

NAME = b"traceparent"
_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


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


def with_context(headers: bytes, context: TraceContext) -> bytes:
    """Return a header block whose `traceparent` is this one."""
    parts = headers.split(b"\n") if headers else []
    kept = [
        part
        for name, value in zip(parts[::2], parts[1::2], strict=False)
        if not _is_it(name)
        for part in (name, value)
    ]
    return b"\n".join((*kept, NAME, context.header))


def _is_it(name: bytes) -> bool:
    return len(name) == len(NAME) and name.lower() == NAME
