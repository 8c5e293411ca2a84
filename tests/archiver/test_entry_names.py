from __future__ import annotations

import os
import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import InvalidArchive
from archiver.reading.names import NameTree, case_collisions, checked_name


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "a/..",
        "..",
        "/etc/passwd",
        "//server/share",
        "C:/evil",
        "c:evil",
        "./C:/evil",
        "..\\evil",
        "a\\b",
        "nul\0byte",
        "line\nbreak",
        "tab\there",
        "",
        ".",
        "./",
        "a" * 256,
        "/".join(["abc"] * 1000),
        "surrogate\udcff",
    ],
)
def test_a_name_that_could_leave_the_target_is_refused(name: str) -> None:
    with pytest.raises(InvalidArchive):
        checked_name(name)


def test_the_refusal_names_the_entry() -> None:
    with pytest.raises(InvalidArchive, match=r"'\.\./evil'"):
        checked_name("../evil")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("service.py", "service.py"),
        ("./service.py", "service.py"),
        ("a//b/./c", "a/b/c"),
        ("folder/", "folder"),
        ("..a/b..", "..a/b.."),
        ("ümläut/日本", "ümläut/日本"),
        (" blank ", " blank "),
    ],
)
def test_an_ordinary_name_is_brought_into_one_form(name: str, expected: str) -> None:
    assert checked_name(name) == expected


parts = (
    st.sampled_from(["..", ".", "", "a", "b c", "C:", "\\", "\0", "ü", "...", "x" * 300])
    | st.text()
)
names = st.lists(parts, max_size=5).map("/".join) | st.text()


@given(names)
def test_an_accepted_name_stays_below_the_target(name: str) -> None:
    try:
        accepted = checked_name(name)
    except InvalidArchive:
        return
    target = "/target"
    joined = posixpath.normpath(posixpath.join(target, accepted))
    assert joined.startswith(target + "/")
    assert joined == posixpath.join(target, accepted)
    assert Path(target, accepted) == Path(joined)
    assert checked_name(accepted) == accepted
    os.fsencode(accepted)


@given(st.lists(st.lists(st.sampled_from("abcAB"), min_size=1, max_size=3).map("/".join)))
def test_files_that_a_tree_accepts_never_share_a_path(listed: list[str]) -> None:
    tree = NameTree()
    accepted: list[str] = []
    for name in listed:
        try:
            tree.add_file(name)
        except InvalidArchive:
            continue
        accepted.append(name)
    assert len(set(accepted)) == len(accepted)
    for name in accepted:
        assert not any(other.startswith(name + "/") for other in accepted)


def test_two_files_of_one_name_are_refused() -> None:
    tree = NameTree()
    tree.add_file("a/b")
    with pytest.raises(InvalidArchive, match="two entries named 'a/b'"):
        tree.add_file("a/b")


@pytest.mark.parametrize(
    ("first", "second"), [(["a"], ["a/b"]), (["a/b"], ["a"]), (["a/b/c"], ["a/b"])]
)
def test_a_file_where_a_folder_is_gets_refused(first: list[str], second: list[str]) -> None:
    tree = NameTree()
    for name in first:
        tree.add_file(name)
    with pytest.raises(InvalidArchive, match="both as a file and as a folder"):
        for name in second:
            tree.add_file(name)


def test_a_folder_entry_where_a_file_is_gets_refused() -> None:
    tree = NameTree()
    tree.add_file("a")
    with pytest.raises(InvalidArchive, match="both as a file and as a folder"):
        tree.add_folder("a")


def test_names_that_differ_in_case_alone_are_found_with_their_folders() -> None:
    assert case_collisions(["a.txt", "b.txt", "dir/x"]) == []
    assert case_collisions(["A.txt", "a.txt"]) == [("A.txt", "a.txt")]
    assert case_collisions(["Dir/x", "dir/y"]) == [("Dir", "dir")]
    assert case_collisions(["\u00e9", "e\u0301"]) == [("\u00e9", "e\u0301")]
