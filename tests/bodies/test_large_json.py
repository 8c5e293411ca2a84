"""Large JSON is read apart from the event loop, without holding it up, and means the same."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mms.bodies.large_json import LOOP_BYTES, apart, members_of, read_patiently
from mms.http.apis.lenient_json import loads


def rows(count: int) -> list[list[float]]:
    draw = random.Random(1)
    return [[draw.random() for _ in range(20)] for _ in range(count)]


def _members(text: str) -> Any:
    return members_of(text.encode(), ("model",))


@pytest.mark.parametrize(
    ("read", "make_text"),
    [
        (read_patiently, lambda: json.dumps(rows(3000))),
        (loads, lambda: "{inputs: " + json.dumps(rows(1000)) + "}"),
        (_members, lambda: json.dumps({"inputs": rows(30_000)})),
        (_members, lambda: '{"a":"' + '\\"' * 2_000_000 + '"}'),
        (loads, lambda: "{a: '" + "\\n" * 300_000 + "'}"),
    ],
    ids=["strict", "lenient", "members", "escapes", "lenient escapes"],
)
def test_others_have_their_turns_while_a_large_text_is_read(
    read: Callable[[str], Any], make_text: Callable[[], str]
) -> None:
    text = make_text()
    thread = threading.Thread(target=read, args=(text,))
    started = time.monotonic()
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    # One that keeps the interpreter to itself lets nobody have more than one or two.
    assert turns > 5, f"{turns} turns in {time.monotonic() - started} s"


async def test_what_is_large_is_read_in_a_thread_and_what_is_small_at_once() -> None:
    assert await apart(LOOP_BYTES, threading.get_ident) == threading.get_ident()
    assert await apart(LOOP_BYTES + 1, threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await apart(LOOP_BYTES + 1, lambda: 1 / 0)
    others = asyncio.create_task(asyncio.sleep(0))
    await apart(LOOP_BYTES + 1, time.sleep, 0.01)
    assert others.done()


def random_value(draw: random.Random, depth: int) -> Any:
    if depth == 0 or draw.random() < 0.4:
        texts = ["", "x", '"', "\\", "]}", "{[", "é\n", '\\"', "model"]
        return draw.choice([*texts, 1, -2.5e-7, 10**20, True, False, None])
    if draw.random() < 0.5:
        return [random_value(draw, depth - 1) for _ in range(draw.randrange(4))]
    names = ["model", "id", "a", 'm"o', "\\"]
    return {draw.choice(names): random_value(draw, depth - 1) for _ in range(draw.randrange(5))}


def test_members_are_those_that_a_parser_finds() -> None:
    draw = random.Random(3)
    for _ in range(2000):
        value = random_value(draw, 4)
        text = json.dumps(value, indent=draw.choice([None, 1]), ensure_ascii=draw.random() < 0.5)
        wanted = {}
        if isinstance(value, dict):
            wanted = {
                name: member
                for name, member in value.items()
                if name in ("model", "id") and isinstance(member, str | int | float)
            }
        found = members_of(bytearray(text.encode()), ("model", "id"))
        assert found == wanted, text


def test_a_body_that_breaks_off_has_the_members_before() -> None:
    whole = b'{"id": "a", "x": [1, {"y": "]"}], "model": "m"}'
    for end in range(len(whole)):
        found = members_of(whole[:end], ("id", "model"))
        assert found.get("id", "a") == "a"
        assert found.get("model", "m") == "m"
    assert members_of(whole, ("id", "model")) == {"id": "a", "model": "m"}


def test_the_last_of_a_name_counts() -> None:
    assert members_of(b'{"model": "a", "model": "b"}', ("model",)) == {"model": "b"}
    assert members_of(b'{"model": "a", "model": [1]}', ("model",)) == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b'{"model"', b'{"model":', b"{model: 1}"])
def test_what_is_no_object_has_no_members(body: bytes) -> None:
    assert members_of(body, ("model",)) == {}


def test_what_is_read_patiently_is_what_json_means() -> None:
    value = {"rows": rows(200), "nan": float("inf"), "text": "x" * 70_000, "n": [None, True, {}]}
    text = json.dumps(value)
    assert len(text) > LOOP_BYTES
    assert read_patiently(text) == json.loads(text)
    with pytest.raises(ValueError, match="Expecting"):
        read_patiently(text[:-1])
