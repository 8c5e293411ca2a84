"""Lines on their way to their outputs. What many lines have in common travels once: what writes puts it around each.

Outputs are bits: one for each file by its place in the list, and standard output.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TypeAlias

#: The bit of standard output, behind those of all files.
STDOUT = 1 << 15
#: No output: has those beside it get the lines of one `put` in the order of their times. Others get them as they come.
BY_TIME = 1 << 16

Form: TypeAlias = tuple[int, str, str]
"""Outputs, and what stands there before and behind each line."""

Lines: TypeAlias = tuple[int, str, int, int, tuple[Form, ...]]
"""Milliseconds since the epoch; lines with LF between them; how many they are; how many times they are to be written;
how outputs get them"""


def plain_lines(outputs: int, text: str, at_ms: int = 0) -> Lines:
    """Whole lines for outputs that get them as they are; "" only creates files."""
    return at_ms, text[:-1], text.count(_LF), 1, ((outputs, "", ""),)


def line_count(items: Sequence[Lines]) -> int:
    """Return how many lines will be written; one counts once for each of its outputs."""
    return sum(
        count * times * sum((outputs & ~BY_TIME).bit_count() for outputs, _, _ in forms)
        for _, _, count, times, forms in items
    )


def output_count(items: Sequence[Lines]) -> int:
    """Return to how many outputs they go."""
    together = 0
    for _, _, _, _, forms in items:
        for outputs, _, _ in forms:
            together |= outputs
    return (together & ~BY_TIME).bit_count()


def pack(items: Sequence[Lines]) -> bytes:
    """Return what `unpack` makes the same of, in a process of the same interpreter."""
    return marshal.dumps(list(items))


def unpack(data: bytes) -> Sequence[Lines]:
    """Raises EOFError or ValueError for the begin of what `pack` returned."""
    items: Sequence[Lines] = marshal.loads(data)
    return items


def written_out(
    items: Sequence[Lines], give_way: Callable[[], object] | None = None
) -> list[tuple[int, bytes, int]]:
    """Return (outputs, text, how many lines it has), with each output in one of them.

    `give_way`: called again and again on the way, for a caller that is to let others have the processor.
    """
    texts: dict[int, list[tuple[int, str]]] = {}
    counts: dict[int, int] = {}
    by_time = 0
    for at_ms, body, count, times, forms in items:
        if give_way is not None:
            give_way()
        for outputs, before, behind in forms:
            text = f"{body}\n" if count else ""
            if before or behind:
                text = f"{before}{body.replace(_LF, f'{behind}{_LF}{before}')}{behind}\n"
            piece = (at_ms, text * times)
            if outputs & BY_TIME:
                outputs ^= BY_TIME
                by_time |= outputs
            while outputs:
                output = outputs & -outputs
                outputs ^= output
                texts.setdefault(output, []).append(piece)
                counts[output] = counts.get(output, 0) + count * times
    done: list[tuple[int, bytes, int]] = []
    done_pieces: list[list[tuple[int, str]]] = []
    for output, pieces in texts.items():
        if output & by_time:
            pieces.sort(key=_time_of)
        if pieces in done_pieces:
            # Standard output gets what the file of the server's log does.
            at = done_pieces.index(pieces)
            others, data, lines = done[at]
            done[at] = (others | output, data, lines)
        else:
            text = "".join([text for _, text in pieces])
            done.append((output, text.encode("utf-8", "backslashreplace"), counts[output]))
            done_pieces.append(pieces)
    return done


_LF = "\n"
_time_of = itemgetter(0)
