"""Large JSON is read apart from the event loop, without holding it up, and means the same."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mms.bodies import large_json
from mms.bodies.json_text import from_json
from mms.bodies.large_json import (
    LOOP_BYTES,
    NestedTooDeep,
    apart,
    members_of,
    read_in_pieces,
    read_patiently,
)
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


@pytest.mark.parametrize(
    "value",
    [
        *(
            '"' + "x" * 200_000 + '"',
            '"' + '\\"' * 200_000 + '"',
            '"' + ("x" * 40 + "\\n") * 9000 + '"',
        ),
        *(" " * 200_000 + "1", "1" * 200_000, "[" + "1," * 200_000 + "1]"),
        *("[" * 1000 + "]" * 1000, '{"model": "inner"}', '"\\u006dodel"', '"model"'),
    ],
    ids=lambda value: value[:5],
)
def test_members_are_found_behind_whatever_is_long(value: str) -> None:
    short = '"b": 1, "c": [{"model": 2}], ' * 100
    assert _members("{" + short + '"a": ' + value + ", " + short + '"model": "m"}') == {
        "model": "m"
    }


def test_what_is_nested_more_deeply_than_parsers_go_is_not_looked_through() -> None:
    with pytest.raises(NestedTooDeep):
        _members('{"a": ' + "[" * 2000 + "]" * 2000 + ', "model": "m"}')


@pytest.mark.parametrize("filling", [b" ", b"1", b"x", b"\\n", b"[", b'"'])
def test_nothing_is_matched_for_longer_than_others_can_wait(filling: bytes) -> None:
    patterns = [found for found in vars(large_json).values() if isinstance(found, re.Pattern)]
    assert len(patterns) > 5
    for pattern in patterns:
        match = pattern.match(filling * 500_000)
        assert match is None or match.end() <= 2 * LOOP_BYTES


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


_NUMBER = "0.12345678901"
_DOCUMENTS = {
    "rows": '{"inputs": [' + ", ".join([f"[{_NUMBER}, {_NUMBER}, 3, null]"] * 30_000) + "]}",
    "long rows": "[" + ", ".join([f"[{', '.join([_NUMBER] * 3000)}]"] * 20) + "]",
    "flat": '{"id": "a", "inputs": [' + ", ".join([_NUMBER] * 80_000) + '], "model": "m"}',
    "members": "{" + ", ".join(f'"k{i}": {i}' for i in range(80_000)) + "}",
    "dicts": "[" + ",".join(['{"a": {"b": [1, {"c": "x\\"], {"}]}}'] * 40_000) + "]",
    "deep": '{"a":{"b":{"c":[[' + ",".join([_NUMBER] * 80_000) + "]]}}}",
    "texts": "[" + ",".join(['"' + "[,\\u00e9" * 100 + '"'] * 1500) + "]",
}


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_a_parser_gets_no_more_than_a_piece_of_a_large_body_at_once(name: str) -> None:
    body = _DOCUMENTS[name].encode()
    assert len(body) > 10 * LOOP_BYTES
    sizes = []

    def load(piece: bytes) -> Any:
        sizes.append(len(piece))
        return from_json(piece)

    assert read_in_pieces(body, load) == json.loads(body)
    assert max(sizes) < 3 * LOOP_BYTES


def _value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(9) if depth < 6 else 2
    if kind == 0:
        return [_value(draw, depth + 1) for _ in range(draw.randrange(6))]
    if kind == 1:
        return {
            f"{draw.random()}{draw.choice(['', '[', chr(34)])}": _value(draw, depth + 1)
            for _ in range(draw.randrange(6))
        }
    return draw.choice([1, -2.5, None, "a,b]", 'q"', "{", 10**25, "\u00e9\u2028", float("inf")])


def _answer(read: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return repr(read(body))
    except ValueError as error:
        return str(error)


def test_pieces_mean_what_the_whole_means_and_errors_say_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_json, "LOOP_BYTES", 0)
    draw = random.Random(3)
    errors = 0
    for _ in range(1500):
        monkeypatch.setattr(large_json, "_PIECE_BYTES", draw.choice([1, 8, 30, 100]))
        items = [_value(draw) for _ in range(draw.randrange(12))]
        value = items if draw.random() < 0.5 else {f"k{i}": item for i, item in enumerate(items)}
        body = bytearray(json.dumps(value, ensure_ascii=draw.random() < 0.5).encode())
        for _ in range(draw.choice([0, 1, 2])):
            at = draw.randrange(len(body))
            body[at : at + draw.randrange(2)] = draw.choice([b"", *map(bytes, zip(b',:[]{}"1 \\'))])
        whole = _answer(from_json, bytes(body))
        assert _answer(lambda b: read_in_pieces(b, from_json), bytes(body)) == whole, bytes(body)
        errors += whole[:1] not in "[{"
    assert 200 < errors < 1300


@pytest.mark.parametrize("coding", ["utf-16", "utf-8-sig"])
def test_other_codings_are_read_as_small_bodies_are(coding: str) -> None:
    text = json.dumps(rows(300))
    assert _answer(lambda b: read_in_pieces(b, from_json), text.encode(coding)) == _answer(
        from_json, text.encode(coding)
    )
