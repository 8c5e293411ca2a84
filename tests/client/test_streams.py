"""How the client cuts answers that come little by little."""

from __future__ import annotations

import tracemalloc

import pytest

from mms.client import ServerRefused, streams


def test_lines_are_cut_wherever_their_bytes_are_parted() -> None:
    reader = streams.LineReader()
    assert [reader.feed(part) for part in (b"a", b"b\r\nc", b"", b"\n\nd")] == [
        [],
        [b"ab"],
        [],
        [b"c", b""],
    ]
    assert reader.end() == [b"d"]


def test_a_long_line_is_not_copied_for_each_of_its_parts() -> None:
    reader = streams.LineReader()
    reader.feed(b"x" * 8_000_000)
    # Makes room for more of the same.
    reader.feed(b"x")
    tracemalloc.start()
    try:
        reader.feed(b"x")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000


def test_an_event_of_endless_empty_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_MOST_BYTES", 1000)
    reader = streams.EventReader()
    with pytest.raises(ServerRefused, match="more than 1000 bytes"):
        for _ in range(1000):
            reader.feed(b"data:\n")
