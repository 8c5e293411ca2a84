"""JSON of answers, with orjson and without it."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from mms.bodies import json_text
from mms.bodies.json_text import from_json, to_json, to_record_text

Point = namedtuple("Point", "x y")


class Color(enum.Enum):
    RED = "red"


@dataclass
class Box:
    width: int


@pytest.fixture(params=["orjson", "standard library"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(json_text, "_orjson", False if request.param != "orjson" else None)
    yield request.param


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1.5, None, True]}, '{"b":1,"a":[1.5,null,true]}'),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (np.arange(4.0)[::2], "[0.0,2.0]"),
        (np.float32(0.5), "0.5"),
        (np.longdouble(0.5), "0.5"),
        (np.int64(7), "7"),
        (np.bool_(True), "true"),
        (np.array(3), "3"),
        (np.array(["a", None], dtype=object), '["a",null]'),
        (np.str_("x"), '"x"'),
        ({np.int64(1): "a", 2: "b", None: "c", True: "d", 1.5: "e"}, None),
        ({"s": {3}}, '{"s":[3]}'),
        ((1, Point(2, 3)), "[1,[2,3]]"),
        (OrderedDict(z=1, a=2), '{"z":1,"a":2}'),
        (datetime.date(2024, 1, 2), '"2024-01-02"'),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), '"2024-01-02T03:04:05"'),
        (datetime.timedelta(seconds=1.5), "1.5"),
        (decimal.Decimal("1.5"), "1.5"),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (PurePosixPath("a/b"), '"a/b"'),
        (Color.RED, '"red"'),
        (Box(3), '{"width":3}'),
        (2**70, str(2**70)),
        ("ü", '"ü"'),
    ],
    ids=repr,
)
def test_values_have_their_json_form(value: Any, text: str | None) -> None:
    written = to_json(value).decode()
    if text is None:
        assert json.loads(written) == {"1": "a", "2": "b", "null": "c", "1.5": "e"} | (
            {"1": "d"} if 1 in value and value[1] == "d" else {}
        )
    else:
        assert written == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_numbers_without_json_become_null(value: Any) -> None:
    assert to_json({"outputs": [1.0, value]}) == b'{"outputs":[1.0,null]}'
    assert to_json(np.array([1.0, value])) == b"[1.0,null]"


def test_numbers_without_json_may_stay_as_they_are() -> None:
    values = [math.nan, math.inf, -math.inf, None, 1]
    assert to_json(values, "keep") == b"[NaN,Infinity,-Infinity,null,1]"
    assert to_json(np.array([math.nan]), "keep") == b"[NaN]"


def test_numbers_without_json_may_be_an_error_and_none_is_none() -> None:
    assert to_json([None, 1.5], "error") == b"[null,1.5]"
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"outputs": np.array([math.nan])}, "error")


def test_exceptions_are_their_messages() -> None:
    error = ValueError("cannot")
    error.__cause__ = KeyError("a")
    assert to_json({"error": error}) == b'{"error":"cannot, caused by: \'a\'"}'


def test_what_has_no_json_form_is_named() -> None:
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        to_json({"a": [object()]})
    with pytest.raises(TypeError, match="Object of type bytes is not JSON serializable"):
        to_json(b"x")
    with pytest.raises(TypeError, match="keys must be str, int, float, bool or None, not tuple"):
        to_json({(1, 2): 3})


def test_a_circle_is_an_error() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        to_json(circle)


class Frame:
    """What a DataFrame is for JSON, where pandas is not installed."""

    __module__ = "pandas.core.frame"

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{"a": 1, "b": math.nan}]


Frame.__name__ = "DataFrame"


def test_a_frame_is_a_list_of_rows() -> None:
    assert to_json({"outputs": Frame()}) == b'{"outputs":[{"a":1,"b":null}]}'


def test_json_is_read_with_what_python_writes_beside_it() -> None:
    assert from_json(b'{"a": [1, "x"]}') == {"a": [1, "x"]}
    assert math.isnan(from_json("[NaN]")[0])
    assert from_json(bytearray(b"5")) == 5


@pytest.mark.parametrize("text", [b"", b"xx [1,2]", b"{", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_json_is_a_value_error(text: bytes | str) -> None:
    with pytest.raises(ValueError, match="."):
        from_json(text)


def test_records_are_written_whatever_is_in_them() -> None:
    record = {"a": np.array([1.5]), "b": object, "c": {"d": {1}}}
    assert json.loads(to_record_text(record)) == {
        "a": [1.5],
        "b": "<class 'object'>",
        "c": {"d": [1]},
    }


def test_integers_beyond_64_bits_stay_exact() -> None:
    text = b'{"inputs":[[36893488147419103233,-9223372036854775809],[1,2]]}'
    assert to_json(from_json(text)) == text
