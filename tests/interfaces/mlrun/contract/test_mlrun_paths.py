"""Places within bodies."""

from __future__ import annotations

from typing import Any

import pytest

from mms.interfaces.mlrun.paths import get_path, put_path, split_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a", ["a"]),
        ("a.b.c", ["a", "b", "c"]),
        ("a.\\b.c\\.d", ["a", "b.c", "d"]),
        ("a.\\b.c\\", ["a", "b.c"]),
        ("\\.a\\", [".a"]),
        ("a\\.b", ["a.b"]),
        ("a\\.b\\c.d", ["a.bc", "d"]),
        ("a.", ["a", ""]),
    ],
)
def test_dots_part_names_unless_backslashes_keep_them(path: str, names: list[str]) -> None:
    assert split_path(path) == names


def test_a_path_leads_to_a_member() -> None:
    assert get_path({"a": {"b": [1]}}, "a.b") == [1]
    assert get_path({"a.b": 2}, r"a\.b") == 2


def test_without_a_path_the_whole_body_is_meant() -> None:
    assert get_path([1], None) == get_path([1], "") == [1]


@pytest.mark.parametrize("path", ["x", "a.x", "a.b.c", "n.x"])
def test_a_path_to_nothing_gives_none(path: str) -> None:
    assert get_path({"a": {"b": 1}, "n": None}, path) is None


def test_an_input_path_into_a_number_is_an_error() -> None:
    with pytest.raises(TypeError, match="input_path parameter supports only dict-like"):
        get_path(5, "x")


def test_a_result_is_written_into_the_body_and_members_between_are_made() -> None:
    body = {"x": 5}
    assert put_path(body, "y.z", 10) == {"x": 5, "y": {"z": 10}}
    assert put_path({"y": {"a": 1}}, "y.z", 10) == {"y": {"a": 1, "z": 10}}
    assert put_path({"y": 3}, "y.z", 10) == {"y": {"z": 10}}


@pytest.mark.parametrize("body", [None, {}, "", b""])
def test_a_result_path_is_ignored_for_an_empty_body(body: Any) -> None:
    assert put_path(body, "y", 10) == 10


def test_a_result_path_into_text_is_an_error() -> None:
    with pytest.raises(TypeError, match="result_path parameter supports only dict-like"):
        put_path("text", "y", 10)
