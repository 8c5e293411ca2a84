"""Parameters that have no effect are told of, or refused."""

from __future__ import annotations

import pytest

from mms.http.apis.plugins import ReadParameters
from mms.http.parameters import Parameters, warning_lines
from mms.text.nearest import nearest

KNOWN = ("initial_workers", "min_worker", "max_worker", "batch_size", "url", "synchronous")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("intial_workers", "initial_workers"),
        ("initialWorkers", "initial_workers"),
        ("min_workers", "min_worker"),
        ("MIN-WORKER", "min_worker"),
        ("batchsize", "batch_size"),
        ("x", None),
        ("completely_else", None),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case_and_signs(
    name: str, wanted: str | None
) -> None:
    assert nearest(name, KNOWN) == wanted


def test_what_nobody_asked_for_is_without_effect() -> None:
    parameters = Parameters.of_query(b"url=a&intial_workers=1&url=b&x=%0A&%0A=1")
    assert parameters.get("url") == "a"
    for name in KNOWN:
        parameters.get(name)
    assert parameters.without_effect() == [
        "parameter url comes several times; the first counts",
        "unknown parameter intial_workers has no effect; did you mean initial_workers?",
        "unknown parameter x has no effect",
        "unknown parameter '\\n' has no effect",
    ]


def test_many_unknown_names_are_counted() -> None:
    told = Parameters({f"x{number}": 1 for number in range(500)}).without_effect()
    assert len(told) == 11
    assert told[-1] == "490 more parameters are unknown"


def test_a_warning_is_a_header_whatever_the_name() -> None:
    lines = warning_lines(['a "b" \\ ä', "plain"])
    assert lines == b'Warning: 299 marserve "a \\"b\\" \\\\ ?"\r\nWarning: 299 marserve "plain"\r\n'


def test_a_plugin_has_read_what_it_looked_at() -> None:
    given = ReadParameters()
    given.update({"a": ["1"], "b": ["2"], "c": ["3"]})
    assert given["a"] == ["1"]
    assert given.get("c") == ["3"]
    assert given.unread() == ["unknown parameter b has no effect"]
    assert dict(given.items()) == {"a": ["1"], "b": ["2"], "c": ["3"]}
    assert given.unread() == []
