"""JSON answers, to the byte as the standard library writes them."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.worker.requests.indented_json import indented


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2], "b": {}, "c": [], "d": ()},
        {"ü": '<&>"\\\n', "\ud800": "\x00"},
        [1.5, 1e300, -0.0, 1e-7, math.nan, math.inf, -math.inf],
        [[0.5] * 40, ["a"] * 40, [None, True, False, 1, "x", 2.5] * 5, list(range(40))],
        [[1.0] * 20 + [[2.0]], tuple(range(20))],
        {1: "one", 2.5: "x", None: None, False: True},
        OrderedDict(b=1, a=[OrderedDict()]),
        [Number.ONE, Text("own"), {Text("key"): Number.ONE}],
        None,
        True,
        17,
        2.5,
        [],
        {},
    ],
)
def test_it_is_written_as_the_standard_library_does(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=2)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.booleans(), inner)
    ),
)


@given(VALUES)
def test_any_value_is_written_as_the_standard_library_does(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=2)


@pytest.mark.parametrize("value", [{1, 2}, object(), [b"x"], {"a": {"b": object()}}, {(1, 2): 3}])
def test_what_json_cannot_hold_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        indented(value)


def test_a_structure_that_contains_itself_is_a_value_error() -> None:
    circle: list[object] = []
    circle.append({"again": circle})
    with pytest.raises(ValueError, match="Circular"):
        indented(circle)


def test_numbers_arrays_dataclasses_and_dates_have_a_form() -> None:
    import dataclasses
    import datetime

    import numpy as np

    @dataclasses.dataclass
    class Box:
        label: str
        score: np.float32
        at: datetime.datetime

    at = datetime.datetime(2024, 1, 2, 3, 4, 5)
    value = {
        "n": np.int64(3),
        "x": np.float32(0.5),
        "yes": np.bool_(True),
        "rows": np.arange(4).reshape(2, 2),
        "box": Box("cat", np.float32(0.25), at),
        "day": datetime.date(2024, 1, 2),
    }
    assert json.loads(indented(value)) == {
        "n": 3,
        "x": 0.5,
        "yes": True,
        "rows": [[0, 1], [2, 3]],
        "box": {"label": "cat", "score": 0.25, "at": "2024-01-02T03:04:05"},
        "day": "2024-01-02",
    }
    assert json.loads(indented(np.float32(1.5))) == 1.5
    long = np.longdouble(1.5)
    assert json.loads(indented([long, {"a": np.array([long])}])) == [1.5, {"a": [1.5]}]
    with pytest.raises(TypeError, match="clongdouble is not JSON serializable"):
        indented([np.clongdouble(1j)])


def test_keys_may_be_what_values_may_be_as_one_number_or_text() -> None:
    import dataclasses
    import datetime

    import numpy as np

    @dataclasses.dataclass
    class Counts:
        by_label: dict[np.int64, int]

    labels, counts = np.unique(np.array([3, 1, 3]), return_counts=True)
    value = {
        "counts": dict(zip(labels, counts, strict=True)),
        "box": [Counts({np.int64(7): 1})],
        "days": {datetime.date(2024, 1, 2): np.float32(0.5)},
    }
    assert json.loads(indented(value)) == {
        "counts": {"1": 1, "3": 2},
        "box": [{"by_label": {"7": 1}}],
        "days": {"2024-01-02": 0.5},
    }


@pytest.mark.parametrize("value", [{1, 2}, object(), ValueError("x")])
def test_what_mms_refuses_stays_refused(value: object) -> None:
    with pytest.raises(TypeError, match="is not JSON serializable"):
        indented([value])
