"""Components that both Seldon's wrapper and this project answer for; no dependency on either."""

from __future__ import annotations

from typing import Any

import numpy as np


class Identity:
    def __init__(self, response_class: Any) -> None:
        self._response_class = response_class

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
        return X

    def aggregate(self, features: Any, names: Any) -> Any:
        return features[0]

    def send_feedback(
        self, features: Any, names: Any, reward: Any, truth: Any, routing: Any = None
    ) -> Any:
        return None


class Tagged(Identity):
    def tags(self) -> dict[str, Any]:
        return {"mytag": 1, "shared": "own", "é": "ü\x7f\n"}

    def metrics(self) -> list[dict[str, Any]]:
        return [
            {"type": "COUNTER", "key": "mycounter", "value": 1},
            {"type": "GAUGE", "key": "mygauge", "value": 1.5, "tags": {"a": "b"}},
        ]

    def class_names(self) -> list[str]:
        return ["one", "two"]


class Feedback(Identity):
    def send_feedback(
        self, features: Any, names: Any, reward: Any, truth: Any, routing: Any = None
    ) -> Any:
        return [list(np.asarray(features).shape), [reward, -1.0 if routing is None else routing]]


def _more_arrays() -> dict[str, Any]:
    """Every type and subclass of arrays, and places for numpy's values in other results."""
    numbers = np.array([[1.0, 2.0], [-999.0, 4.0]])
    wholes = np.array([[1, 2], [3, 4]])
    masked = np.ma.masked_equal(numbers, -999.0)
    read_only = numbers.copy()
    read_only.setflags(write=False)
    pairs = np.array([(1, 2.5, "a"), (3, 4.5, "b")], [("a", "i4"), ("b", "f8"), ("c", "U1")])
    found: dict[str, Any] = {
        "masked floats": masked,
        "masked integers": np.ma.masked_equal(wholes, 2),
        "masked nothing": np.ma.array(numbers),
        "masked all": np.ma.array(np.zeros((1, 2)), mask=True),
        "masked objects": np.ma.array(np.array(["a", 1], object), mask=[True, False]),
        "masked texts": np.ma.array(["a", "b"], mask=[True, False]),
        "masked booleans": np.ma.array([True, False], mask=[True, False]),
        "masked value": np.ma.masked,
        "masked without axes": np.ma.array(5.0, mask=True),
        "masked view": masked[:, :1],
        "masked rows": np.ma.array(pairs, mask=[(True, False, False), (False, False, True)]),
        "matrix": numbers.view(np.matrix),
        "matrix of integers": wholes.view(np.matrix),
        "memory map class": numbers.view(np.memmap),
        "record array": pairs.view(np.recarray),
        "structured": pairs,
        "structured without axes": pairs[:1].reshape(()),
        "nested structure": np.array(
            [((1, 2), 3)], [("a", [("x", "i4"), ("y", "i4")]), ("b", "i4")]
        ),
        "character array": np.array(["a", "b"]).view(np.char.chararray),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "fortran integers": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "backwards": np.arange(6.0)[::-1],
        "repeated": np.broadcast_to(np.array([1.5, 2.5]), (2, 2)),
        "read-only": read_only,
        "not aligned": np.frombuffer(b"x" + np.arange(3.0).tobytes(), "u1")[1:].view("f8"),
        "days": np.array(["2020-01-02", "NaT"], "datetime64[D]"),
        "years": np.array(["2020"], "datetime64[Y]"),
        "microseconds": np.array(["2020-01-02T03:04:05.123456"], "datetime64[us]"),
        "nanoseconds": np.array(["2020-01-02T03:04:05"], "datetime64[ns]"),
        "one moment": np.array("2020-01-02T03:04:05", "datetime64[s]"),
        "seconds": np.array([1, 2], "timedelta64[s]"),
        "nanoseconds passed": np.array([1], "timedelta64[ns]"),
        "bytes in an array": np.array([b"a", b"bc"]),
        "void": np.array([b"ab"], "V2"),
        "object integers": np.array([1, 2], object),
        "object numbers of numpy": np.array([np.float32(1.5), np.int64(2)], object),
        "object arrays": _objects([np.array([1, 2]), np.array([3])]),
        "object bytes": np.array([b"a"], object),
        "large integers": np.array([2**70, -(2**70)], object),
        "ragged objects": _objects([[1, 2], [3]]),
        "nothing in objects": np.array([None], object),
        "list of numpy's numbers": [np.float64(1.5), np.float64(2.5)],
        "list of numpy's integers": [np.int64(1), np.int64(2)],
        "list of arrays": [np.array([1, 2]), np.array([3, 4])],
        "list of masked arrays": [masked],
        "list of large integers": [[2**70, 1], [2, 3]],
        "list of tuples": [(1, 2), (3, 4)],
        "list of bytes": [b"a", b"b"],
        "list of complex numbers": [1j],
        "list with nothing": [[1, None]],
        "ragged list": [[1, 2], [3]],
        "list of dicts": [{"a": 1}],
        "list of not a number": [float("nan"), float("inf")],
        "dict of an array": {"a": np.arange(2)},
        "dict of a masked array": {"a": masked},
        "dict of a moment": {"a": np.datetime64("2020-01-02")},
        "dict of numpy's numbers": {"a": np.float32(0.5), "b": np.int8(3), "c": np.bool_(True)},
        "dict of a large integer": {"a": 2**70},
        "dict of a tuple": {"a": (1, 2)},
        "dict of not a number": {"a": float("nan")},
        "dict of numbers": {1: "a", 2.5: "b"},
        "dict of bytes": {"a": b"x"},
        "dict of a set": {"a": {1}},
        "number of numpy": np.float64(2.5),
        "integer of numpy": np.int64(3),
        "truth of numpy": np.bool_(True),
        "text of numpy": np.str_("text"),
        "bytes of numpy": np.bytes_(b"abc"),
        "complex number": 1j,
        "no name": np.zeros((0, 0)),
        "four axes": np.zeros((1, 2, 1, 2)),
        "not numbers": np.array([[np.nan, np.inf, -np.inf, 1.0]]),
        "not numbers in float32": np.array([[np.nan, 1.0]], np.float32),
    }
    for code in "?bhilqBHILQefdgFDG":
        for order in "<>":
            array = np.array([[1, 0], [1, 1]]).astype(np.dtype(code).newbyteorder(order))
            found[f"type {order}{code}"] = array
        found[f"type {code} without axes"] = np.array(1).astype(code)
        found[f"type {code} empty"] = np.zeros((0,), code)
    return found


def _objects(values: list[Any]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


RESULTS: dict[str, Any] = {
    "integers": np.arange(6).reshape(2, 3),
    "float32": np.array([[0.1, 2.5]], np.float32),
    "float16": np.array([[0.1, 2.5]], np.float16),
    "float64": np.array([[0.1, 1e16, 1e22, -0.0, 123456.789]]),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(12)[::2],
    "big endian": np.array([[1, 2]], ">i4"),
    "unsigned": np.array([2**64 - 1], np.uint64),
    "boolean": np.array([[True, False]]),
    "texts": np.array([["a", "é"]]),
    "objects": np.array([["a", 1, None, {"b": [2]}]], dtype=object),
    "no axes": np.array(5.5),
    "three axes": np.zeros((2, 2, 2)),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((2, 0)),
    "list": [[1, 2.5], [3, 4]],
    "flat list": [1, 2, 3],
    "list of texts": ["a", "b"],
    "empty list": [],
    "mixed list": [1, "a", None],
    "dict": {"b": 1, "a": [1.5, None, {"é": "\x7f"}]},
    "text": "é \x7f \u2028 \U0001f600",
    "bytes": b"\x00\xff123",
    "bytearray": bytearray(b"123"),
    "None": None,
    "int": 3,
    "float": 2.5,
    "bool": True,
    "tuple": (1, 2),
    "set": {1},
    "datetimes": np.array(["2020-01-02T03:04:05"], "datetime64[s]"),
    **_more_arrays(),
}


def _returning(name: str) -> type:
    def predict(self: Any, X: Any, names: Any, meta: Any = None) -> Any:
        return RESULTS[name]

    return type("Returning", (Identity,), {"predict": predict})


COMPONENTS: dict[str, type] = {
    "identity": Identity,
    "tagged": Tagged,
    "feedback": Feedback,
    **{name: _returning(name) for name in RESULTS},
}
