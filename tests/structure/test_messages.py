"""What a message shows of a value that somebody else sent is cut, however large the value is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sources import nodes

from mms.text.brief import brief

ROOT = Path(__file__).resolve().parents[2]
#: Names of the server's own things: its objects by their `repr`, its constants, exceptions.
_OWN = ("self", "error", "hook", "connection")
#: Copies of other packages' modules, and what shows names that the interpreter gave it.
_APART = (
    "mms/interfaces/oip/packages",
    "mms/interfaces/seldon/packages",
    "mms/utils",
    "mms/metrics",
    "mms/protocol",
    "mms/model_service_worker",
)


def shown_whole(file: Path) -> Iterator[tuple[int, str]]:
    """(line, expression) of each value that an f-string shows by `!r`, outside of `__repr__` and `__str__`."""
    own = [
        (node.lineno, node.end_lineno or 0)
        for node in nodes(file)
        if isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__")
    ]
    for node in nodes(file):
        if not isinstance(node, ast.FormattedValue) or node.conversion != ord("r"):
            continue
        if not any(first <= node.lineno <= last for first, last in own):
            yield node.lineno, ast.unparse(node.value)


def test_no_message_shows_a_value_without_cutting_it() -> None:
    wrong = []
    files = [file for room in ("archiver", "mms") for file in (ROOT / room).rglob("*.py")]
    for file in files:
        if str(file.relative_to(ROOT)).startswith(_APART):
            continue
        for line, shown in shown_whole(file):
            if not shown.startswith(("self", "_")) and shown not in _OWN:
                wrong.append(f"{file.relative_to(ROOT)}:{line}: {shown}")
    assert wrong == []


def bomb() -> list[object]:
    """A value that would be 10^30 characters long."""
    value: list[object] = [1]
    for _ in range(30):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    "value",
    [bomb(), "x" * 10_000_000, dict.fromkeys(range(9999), "v" * 99), 10**100_000, b"x" * 1000],
    ids=["nested", "text", "members", "digits", "bytes"],
)
def test_what_is_shown_of_a_value_is_short_however_large_it_is(value: object) -> None:
    assert len(brief(value)) <= 200


def test_a_small_value_is_shown_as_it_is() -> None:
    for value in ("it's", 12, 1.5, None, True, {"b": 1, "a": [1, "x", {}]}, (1,), b"a"):
        assert brief(value) == repr(value)
