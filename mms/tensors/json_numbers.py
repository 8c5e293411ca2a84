"""Arrays of JSON: of what a parser has read, or straight from the bytes of a text.

Large lists of numbers are cut out of a text before it is parsed, and read piece by piece into their array: no list of
all of them is ever made, which takes several times as long and as much memory.
"""

from __future__ import annotations

import os
from array import array as array_of_one_type
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from mms.tensors.binary import as_bf16, check_shape, in_shape
from mms.tensors.datatypes import BF16, BYTES, Datatype
from mms.tensors.errors import InferError
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.tensors.tensor import Array

#: Shorter texts are parsed at once, in bytes.
CUT_FROM_BYTES: Final = 64 * 1024
#: A list of numbers that is worth to be cut out, and what is read of one at a time: its numbers stay in the
#: processor's cache.
_PIECE_BYTES: Final = 64 * 1024
#: Stands for a list that was cut out; clients cannot know it.
_MARK: Final = os.urandom(12).hex()
_KEY: Final = b'"data"'
_BLANKS: Final = b" \t\r\n"
#: Python's arrays that numbers of a kind are read into, and numpy's types of the same memory.
_LETTERS: Final = {"f": "d", "i": "q", "u": "q"}
_NUMBERS: Final[set[type]] = {int, float, bool}
_TYPES: Final = {"d": np.dtype(np.float64), "q": np.dtype(np.int64)}


class NumberText(NamedTuple):
    """A flat list of numbers in a text, from behind its bracket to before the other one."""

    text: bytes | bytearray
    start: int
    end: int


class JsonTensors(NamedTuple):
    """A JSON text that was parsed. `numbers`: the lists that were cut out of it, which `find_data` puts back.

    `has_truths`: `true` or `false` may be among its numbers, where numpy would take them for 1 and 0.
    """

    value: Any
    numbers: list[NumberText]
    has_truths: bool

    def find_data(self, data: Any) -> Any:
        """Return the value of a member `data`, or the text of its numbers."""
        if type(data) is str and data.startswith(_MARK):
            return self.numbers[int(data[len(_MARK) :])]
        return data


def parse_json(body: bytes | bytearray, end: int) -> JsonTensors:
    """Read the JSON text up to `end` of a body. Raises ValueError for what is none; NaN and infinities are none."""
    numbers = _cut_numbers(body, end) if end >= CUT_FROM_BYTES else []
    text: bytes | bytearray | memoryview = memoryview(body)[:end]
    if numbers:
        parts: list[bytes | memoryview] = []
        at = 0
        for place, found in enumerate(numbers):
            parts += (memoryview(body)[at : found.start - 1], b'"%b%d"' % (_MARK.encode(), place))
            at = found.end + 1
        parts.append(memoryview(body)[at:end])
        text = body = b"".join(parts)
        end = len(text)
    return JsonTensors(orjson.loads(text), numbers, has_truths_in(body, end))


def has_truths_in(text: bytes | bytearray, end: int) -> bool:
    """Return whether `true` or `false` may be among the values of a text up to a place."""
    return text.find(b"true", 0, end) >= 0 or text.find(b"false", 0, end) >= 0


def find_list(body: bytes | bytearray, end: int) -> tuple[int, int]:
    """Return the places where the first list begins and ends that is a member named `data`; (0, 0) where none is found.

    A guess, for texts whose lists are nested alike and have no blanks between their last brackets.
    """
    at = body.find(_KEY, 0, end)
    start = _after(body, at + len(_KEY), end, b":") if at >= 0 else 0
    start = _after(body, start, end, b"[") if start else 0
    if not start:
        return 0, 0
    depth = 1
    while body[start + depth - 1 : start + depth] == b"[":
        depth += 1
    stop = body.find(b"]" * depth, start, end)
    return (start - 1, stop + depth) if stop >= 0 else (0, 0)


def _cut_numbers(body: bytes | bytearray, end: int) -> list[NumberText]:
    """Find the large flat lists of numbers that are members named `data`."""
    found = []
    at = body.find(_KEY, 0, end)
    while at >= 0:
        start = at + len(_KEY)
        # Within a text, its quotes would be escaped.
        if body[at - 1 : at] != b"\\":
            start = _after(body, start, end, b":")
            start = _after(body, start, end, b"[") if start else 0
            stop = body.find(b"]", start, end) if start else -1
            if stop - start >= _PIECE_BYTES and not any(
                body.find(sign, start, stop) >= 0 for sign in (b"[", b'"', b"{", b"t", b"f", b"n")
            ):
                found.append(NumberText(body, start, stop))
                start = stop
        at = body.find(_KEY, start or at + len(_KEY), end)
    return found


def _after(body: bytes | bytearray, at: int, end: int, sign: bytes) -> int:
    """Return the place behind a sign and the blanks before it; 0 where another one stands there."""
    while at < end and body[at] in _BLANKS:
        at += 1
    return at + 1 if body[at : at + 1] == sign else 0


def array_of_json(
    data: Any, datatype: Datatype, shape: Sequence[int], what: str, *, has_truths: bool = True
) -> Array:
    """Return the array of a tensor's `data`: flat, or nested like the shape. It can be written to.

    `has_truths`: as `JsonTensors` has it. Raises InferError; `what` names the tensor.
    """
    count = check_shape(shape, what)
    try:
        return _array_of(data, datatype, shape, count, what, has_truths)
    except RecursionError:
        raise InferError(f"{what} has data that are nested too deep.") from None


def _array_of(
    data: Any,
    datatype: Datatype,
    shape: Sequence[int],
    count: int,
    what: str,
    has_truths: bool,
) -> Array:
    if isinstance(data, NumberText):
        return _read_numbers(data, datatype, shape, count, what)
    if not isinstance(data, list):
        if shape or isinstance(data, dict) or data is None:
            raise InferError(f"{what} has data that are {_kind(data)}; a list is right.")
        data = [data]
    if datatype.kind == "f" and not has_truths and len(data) == count:
        # What most tensors are.
        try:
            numbers = np.frombuffer(array_of_one_type("d", data), np.float64)
        except (TypeError, OverflowError):
            pass
        else:
            if count:
                return in_shape(_rounded(numbers, datatype, what), shape, what)
    if datatype.name == BYTES:
        array = _array_of_texts(data, shape, what)
    else:
        if has_truths and datatype.kind != "b":
            _refuse_truths(data, datatype, what)
        array = _converted(_raw_array(data, datatype, what), data, datatype, what)
    if array.ndim > 1 and array.shape != tuple(shape) and (array.size or count):
        raise InferError(
            f"{what} has data nested as {list(array.shape)}; its shape is {brief(list(shape))}."
        )
    if array.size != count:
        raise _wrong_count(array.size, shape, count, what)
    return in_shape(array, shape, what)


def _wrong_count(size: int, shape: Sequence[int], count: int, what: str) -> InferError:
    return InferError(
        f"{what} has {size} elements of data; the shape {brief(list(shape))} needs {brief(count)}."
    )


def _raw_array(data: list[Any], datatype: Datatype, what: str) -> Array:
    """Return data as numpy reads them, whatever they are. Raises InferError for lists of unequal length."""
    letter = _LETTERS.get(datatype.kind)
    if letter is not None and data:
        try:
            # Of flat lists of numbers this is a third of the time that numpy takes to find out what they are.
            return np.frombuffer(array_of_one_type(letter, data), _TYPES[letter])
        except (TypeError, OverflowError):
            pass
    if not leaf_types(data) <= _NUMBERS:
        # numpy would give each element the room of the longest text.
        if datatype.kind == "b":
            raise _no_truths(what)
        raise InferError(f"{what} is {datatype.name}, and has data that are {_other(data)}.")
    try:
        return np.array(data)
    except (ValueError, OverflowError):
        raise InferError(f"{what} has data whose lists are of unequal length.") from None


def leaf_types(data: list[Any]) -> set[type]:
    """Return the types of all elements of nested lists."""
    types: set[type] = set(map(type, data))
    if list in types:
        types.discard(list)
        types.update(*(leaf_types(each) for each in data if type(each) is list))
    return types


def _no_truths(what: str) -> InferError:
    return InferError(f"{what} is BOOL, and has data other than true and false.")


def _read_numbers(
    numbers: NumberText, datatype: Datatype, shape: Sequence[int], count: int, what: str
) -> Array:
    if datatype.name == BYTES:
        raise InferError(f"{what} is BYTES, and has numbers; texts are right.")
    text, at, end = numbers
    # Each number has a digit and a comma behind it.
    if count > (end - at) // 2 + 1:
        raise InferError(f"{what} has fewer elements of data than the {brief(count)} of its shape.")
    array: Array = np.empty(count, datatype.numpy)
    filled = 0
    while True:
        stop = text.find(b",", at + _PIECE_BYTES, end)
        if stop < 0:
            stop = end
        try:
            piece = orjson.loads(b"".join((b"[", memoryview(text)[at:stop], b"]")))
        except ValueError as error:
            raise InferError(f"{what} has data that are no JSON: {error}.") from None
        if not piece:
            raise InferError(f"{what} has data that are no JSON: a number is missing.")
        filled += len(piece)
        if filled <= count:
            raw = _raw_array(piece, datatype, what)
            array[filled - len(piece) : filled] = _converted(raw, piece, datatype, what)
        if stop == end:
            break
        at = stop + 1
    if filled != count:
        raise _wrong_count(filled, shape, count, what)
    return in_shape(array, shape, what)


def _converted(array: Array, data: list[Any], datatype: Datatype, what: str) -> Array:
    """Return an array of a datatype's own type. Raises InferError where that would change a value."""
    kind = array.dtype.kind
    if not array.size:
        return np.empty(array.shape, datatype.numpy)
    if datatype.kind == "b":
        if kind == "b":
            return array
        if kind in "iu" and array.min() >= 0 and array.max() <= 1:
            return array.astype(np.bool_)
        raise _no_truths(what)
    if kind not in "iuf":
        raise InferError(f"{what} is {datatype.name}, and has data that are {_other(data)}.")
    if datatype.kind == "f":
        return _rounded(array, datatype, what)
    if kind == "f":
        return _whole(data, datatype, what)
    limits = np.iinfo(datatype.numpy)
    if array.dtype == np.dtype(datatype.numpy):
        return array if array.flags.writeable else array.copy()
    least, most = int(array.min()), int(array.max())
    if least < limits.min or most > limits.max:
        raise _out_of_range(least if least < limits.min else most, datatype, what)
    return array.astype(datatype.numpy)


def _rounded(array: Array, datatype: Datatype, what: str) -> Array:
    wanted = np.dtype(datatype.numpy)
    if array.dtype == wanted:
        return array if array.flags.writeable else array.copy()
    try:
        return _cast(array, wanted)
    except FloatingPointError:
        most = float(array.flat[int(np.argmax(np.abs(array)))])
        raise _out_of_range(most, datatype, what) from None


@np.errstate(over="raise")
def _cast(array: Array, wanted: np.dtype[Any]) -> Array:
    return array.astype(wanted)


def _whole(data: list[Any], datatype: Datatype, what: str) -> Array:
    """Return numbers that numpy took for fractions, as it does with those of 64 bits without a sign beside others."""
    flat = list(_flat(data))
    for number in flat:
        if type(number) is not int:
            # Parsers make fractions of whole numbers beyond 64 bits.
            if number >= 2.0**63 or number < -(2.0**63):
                raise _out_of_range(number, datatype, what)
            raise InferError(
                f"{what} is {datatype.name}, and has {number}; whole numbers are right."
            )
    limits = np.iinfo(datatype.numpy)
    for number in (min(flat), max(flat)):
        if not limits.min <= number <= limits.max:
            raise _out_of_range(number, datatype, what)
    return np.array(data, datatype.numpy)


def _out_of_range(number: float, datatype: Datatype, what: str) -> InferError:
    return InferError(f"{what} has {number}, which is out of the range of {datatype.name}.")


def _flat(data: Any) -> Any:
    for each in data:
        if isinstance(each, list):
            yield from _flat(each)
        else:
            yield each


def _refuse_truths(data: list[Any], datatype: Datatype, what: str) -> None:
    if any(type(each) is bool for each in _flat(data)):
        raise InferError(f"{what} is {datatype.name}, and has data that are true or false.")


def _array_of_texts(data: list[Any], shape: Sequence[int], what: str) -> Array:
    flat = []
    for element in _flat(data):
        if type(element) is not str:
            raise InferError(
                f"{what} is BYTES, and has data that are {_kind(element)}; texts are right."
            )
        flat.append(element.encode("utf-8"))
    array: Array = np.empty(len(flat), object)
    array[:] = flat
    if any(isinstance(each, list) for each in data):
        if not _is_nested_like(data, shape):
            raise InferError(
                f"{what} has data whose lists are not nested like its shape {brief(list(shape))}."
            )
        return in_shape(array, shape, what)
    return array


def _is_nested_like(data: Any, shape: Sequence[int]) -> bool:
    if not shape:
        return not isinstance(data, list)
    return (
        isinstance(data, list)
        and len(data) == shape[0]
        and all(_is_nested_like(each, shape[1:]) for each in data)
    )


def _other(data: list[Any]) -> str:
    for each in _flat(data):
        if type(each) not in (int, float):
            return _kind(each)
    return "lists of unequal length"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "numbers"
    return "texts" if isinstance(value, str) else "objects" if isinstance(value, dict) else "lists"


def json_of_array(array: Array, datatype: str, what: str) -> bytes:
    """Return the elements of an array as a flat list in JSON, from its memory.

    Raises InferError (400) for what JSON does not have: numbers that are not finite, bytes that are no UTF-8.
    """
    if datatype == BYTES:
        try:
            return orjson.dumps([element.decode("utf-8") for element in array.ravel().tolist()])
        except UnicodeDecodeError:
            raise InferError(
                f"{what} has bytes that are no text in UTF-8, which JSON cannot carry: ask for it with binary_data."
            ) from None
    if datatype == BF16:
        array = as_bf16(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    text = orjson.dumps(np.ascontiguousarray(array).ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" in text:
        raise InferError(
            f"{what} has NaN or infinities, which JSON cannot carry: ask for it with binary_data."
        )
    return text
