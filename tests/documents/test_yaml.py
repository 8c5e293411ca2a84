"""Documents in YAML are read within limits, to values as JSON has them."""

from __future__ import annotations

import json
import random
import threading
import time

import pytest
import yaml

from mms.text import documents
from mms.text.documents import InvalidDocument, check_depth, read_yaml, read_yaml_documents

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "the alias *a is not supported; write out what it stands for (line 2, column 8)"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "the alias *x is not supported"),
        ("a: &a [*a]", "the alias *a is not supported"),
        ("[" * 101 + "]" * 101, "nested more than 100 levels deep"),
        ("{a: " * 900 + "1" + "}" * 900, "nested more than 100 levels deep"),
        ("[" * 500_000, "nest"),
        ("- \n" * 100_001, "more than 100000 values"),
        ("x" * (documents.MAX_BYTES + 1), "larger than"),
        (
            "a: 2024-13-45",
            "2024-13-45 is not a valid timestamp: month must be in 1..12 (line 1, column 4)",
        ),
        ("a: 2024-01-01 25:00:00", "hour must be in 0..23"),
        ("a: " + "9" * 5000, "is not a valid int: Exceeds the limit"),
        ("a: !!int one", "one is not a valid int"),
        ("a: !!bool x", "x is not a valid bool"),
        ("a: !!timestamp soon", "soon is not a valid timestamp"),
        ("a: !!binary aGVsbG8=", "the tag binary is not known here"),
        ("a: !!python/object/apply:os.system [ls]", "is not known here"),
        ("? [1, 2]\n: 3", "a list or mapping cannot be a key"),
        ("a: [1, 2", "line"),
        ("a: b: c", "mapping values are not allowed in this context (line 1, column 5)"),
        ("a: \x01", "control characters are not allowed"),
        (b"a: \xff", "decode"),
        ("a: 1\n---\nb: 2", "it has 2 documents, but may have only one"),
    ],
)
def test_a_document_that_is_not_taken_is_refused_with_the_reason(
    text: str | bytes, reason: str
) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidDocument) as caught:
        read_yaml(text)
    if reason == "decode":
        reason = "invalid"
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.monotonic() - started < documents.MAX_SECONDS


def test_a_document_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_SECONDS", 0.0)
    with pytest.raises(InvalidDocument, match="takes more than 0 seconds"):
        read_yaml("- 1\n" * 5000)


def test_values_are_those_of_json() -> None:
    text = """
        date: 2024-01-02
        time: 2024-01-02T03:04:05Z
        number: 0x1F
        real: 1e3
        word: "yes"
        truth: yes
        nothing: ~
        tuple: !!python/tuple [1, 2]
        deep: {a: [{b: [[], {}]}], c: |
            two
            lines
          }
    """
    found = read_yaml(text.replace("c: |\n            two\n            lines\n          ", "c: x"))
    assert found["date"] == "2024-01-02"
    assert found["time"] == "2024-01-02T03:04:05Z"
    assert (found["number"], found["word"], found["truth"]) == (31, "yes", True)
    assert found["tuple"] == (1, 2)
    assert json.loads(json.dumps(found))["deep"] == {"a": [{"b": [[], {}]}], "c": "x"}


def test_several_documents_are_read_one_after_the_other() -> None:
    assert read_yaml_documents("a: 1\n---\n- b\n---\n") == [{"a": 1}, ["b"], None]
    assert read_yaml_documents("") == []
    assert read_yaml("") is None


def test_what_is_written_by_yaml_itself_is_read_as_it_reads_it() -> None:
    draw = random.Random(7)

    def value(depth: int) -> object:
        if depth == 0 or draw.random() < 0.3:
            return draw.choice([1, -2.5, "x", "yes", "1", "", None, True, "a: b", "# c", "é", "~"])
        if draw.random() < 0.5:
            return [value(depth - 1) for _ in range(draw.randrange(4))]
        return {f"k{n}": value(depth - 1) for n in range(draw.randrange(4))}

    for _ in range(200):
        wanted = value(4)
        for flow in (True, False, None):
            assert read_yaml(yaml.safe_dump(wanted, default_flow_style=flow)) == wanted


def test_others_have_their_turns_while_a_document_is_read() -> None:
    text = "[" + ",".join(["{a: 1, b: xyz}"] * 15_000) + "]"
    thread = threading.Thread(target=read_yaml, args=(text,))
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 3


def test_json_that_is_deeper_than_a_document_may_be_is_refused() -> None:
    value: object = 1
    for _ in range(100):
        value = [{"a": value}]
    with pytest.raises(InvalidDocument, match="nested more than 100 levels deep"):
        check_depth(value)
    check_depth([{"a": [1, {"b": 2}]}] * 1000)
