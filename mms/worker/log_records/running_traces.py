"""Which traces the code that runs belongs to, for the lines that it logs.

Tasks keep those of the request that began them, and so does `asyncio.to_thread`. Other threads have none.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from itertools import islice
from typing import Final

from mms.wire.trace_context import WORD, context_of, words_of

#: The blocks of headers of the running requests. Nothing reads them until a line is logged.
_blocks: ContextVar[Iterable[bytes | bytearray]] = ContextVar("blocks", default=())
#: A line of a batch names no more traces.
_MOST: Final = 8


def enter_requests(blocks: Iterable[bytes | bytearray]) -> None:
    """What runs from now on is for the requests with these blocks of headers. Only where traces are made."""
    _blocks.set(blocks)


def names_of_traces() -> str:
    """Return what ends a line of the running requests: ` trace_id=<id> span_id=<id>`; empty: no trace is known.

    Of several requests it has the ids of those that are traced, with a comma between, and no span.
    """
    contexts = [context_of(bytes(block)) for block in _blocks.get()]
    if len(contexts) == 1:
        (context,) = contexts
        return "" if context is None else f" {words_of(context)}"
    traced = (f"{each.trace_id:032x}" for each in contexts if each is not None and each.is_sampled)
    ids = ",".join(islice(dict.fromkeys(traced), _MOST))
    return f" {WORD}{ids}" if ids else ""
