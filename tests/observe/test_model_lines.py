"""The newest lines of models: how many are kept, and what who follows them gets."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from mms.observe import ModelEventHandler, ModelLines, events, model_lines


def add(lines: ModelLines, model: str, *texts: str) -> None:
    for text in texts:
        lines.add(model, f"W-{model}-0", "stdout", logging.INFO, "l", text)


def texts(lines: ModelLines, model: str | None = None, most: int = 100) -> list[str]:
    return [line.text for line in lines.newest(model, most)]


def test_the_newest_lines_are_of_one_model_or_of_all_in_the_order_of_time() -> None:
    lines = ModelLines()
    add(lines, "a", "1")
    add(lines, "b", "2", "3")
    add(lines, "a", "4")
    assert texts(lines) == ["1", "2", "3", "4"]
    assert texts(lines, most=2) == ["3", "4"]
    assert texts(lines, "a") == ["1", "4"]
    assert texts(lines, "a", 0) == []
    assert texts(lines, "none") == []


def test_of_a_model_that_says_much_the_oldest_lines_go(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ModelLines()
    add(lines, "a", *map(str, range(model_lines.MOST_LINES + 2)))
    assert texts(lines, most=10**6)[0] == "2"
    monkeypatch.setattr(model_lines, "_MOST_CHARS", 1000)
    add(lines, "a", "x" * 300, "y" * 300)
    assert [text[:1] for text in texts(lines)] == ["x", "y"]


def test_models_that_were_quiet_for_longest_make_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_lines, "_MOST_CHARS_IN_ALL", 1200)
    lines = ModelLines()
    for model in ("a", "b", "c"):
        add(lines, model, "x" * 100)
    add(lines, "a", "more")
    add(lines, "d", "x" * 100)
    assert [model for model in "abcd" if lines.has(model)] == ["a", "c", "d"]
    assert lines.last_number - lines.newest("a", 1)[0].number == 1


def test_a_long_line_is_cut() -> None:
    lines = ModelLines()
    add(lines, "a", "x" * 10_000)
    (text,) = texts(lines)
    assert len(text) < 5000
    assert text.endswith("x...")


def test_who_follows_gets_each_line_once_and_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_lines, "MOST_LINES", 3)
    lines = ModelLines()
    before = lines.last_number
    add(lines, "a", "1", "2")
    add(lines, "b", "3")
    found, is_missing = lines.after(None, before, 2)
    assert ([line.text for line in found], is_missing) == (["1", "2"], False)
    found, is_missing = lines.after(None, found[-1].number, 2)
    assert ([line.text for line in found], is_missing) == (["3"], False)
    add(lines, "a", *"4567")
    found, is_missing = lines.after("a", before, 100)
    assert ([line.text for line in found], is_missing) == (["5", "6", "7"], True)
    assert lines.after("a", lines.last_number, 100) == ([], False)


async def test_many_lines_wake_a_follower_once() -> None:
    lines = ModelLines()
    woken: list[None] = []
    came = asyncio.Event()

    def wake() -> None:
        woken.append(None)
        came.set()

    with lines.watched(wake):
        add(lines, "a", *"123")
        await asyncio.wait_for(came.wait(), 10)
    assert len(woken) == 1
    add(lines, "a", "4")


def test_what_the_server_says_of_a_model_is_among_its_lines() -> None:
    lines = ModelLines()
    handler = ModelEventHandler(lines)
    logging.getLogger().addHandler(handler)
    logger = logging.getLogger("mms.serving")
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        events.worker_disconnected("W-a-1", "a", "BACKOFF", "killed")
        logger.error("two\nlines", extra=events.of_model("a"))
        logger.error("of no model")
        # The recorder has added it as output.
        logger.error("output", extra={"model": "a", "is_output": True})
    finally:
        logging.getLogger().removeHandler(handler)
        logger.setLevel(level)
    assert texts(lines)[-2:] == ["two", "lines"]
    assert {line.stream for line in lines.newest("a", 9)} == {"server"}


def test_the_newest_lines_are_found_without_a_look_at_all_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = ModelLines()
    for model in range(100):
        add(lines, f"m{model}", *"abcdefghij")
    looked_at = []
    merge = heapq.merge

    def counted(*parts: Any, **options: Any) -> Iterator[Any]:
        for line in merge(*parts, **options):
            looked_at.append(line)
            yield line

    monkeypatch.setattr(heapq, "merge", counted)
    assert texts(lines, most=5) == ["f", "g", "h", "i", "j"]
    assert len(looked_at) == 5
