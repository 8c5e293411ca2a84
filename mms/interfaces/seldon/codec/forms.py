"""What a request brings to a component, and the form in which its answer goes back."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mms.interfaces.seldon.errors import SeldonMicroserviceException

Array: TypeAlias = "np.ndarray[Any, Any]"
ClassNames: TypeAlias = "Callable[[], Sequence[str] | None]"


class Form(enum.Enum):
    """How the request wrote its array; NONE: it had text, bytes, JSON or nothing."""

    TENSOR = "tensor"
    NDARRAY = "ndarray"
    TFTENSOR = "tftensor"
    NONE = ""


class Incoming(NamedTuple):
    """A decoded message.

    `names`: as sent (None for a JSON null); `column_names` has the texts of it. `meta`: the request's own object,
    None if it had none (JSON), or {} (protobuf). `puid`: as sent, None where absent or empty.
    """

    value: Any
    names: Any
    meta: dict[str, Any] | None
    form: Form
    puid: Any


def shaped_tensor(values: Array, shape: list[int]) -> Array:
    """Return the values of a tensor in its shape, one of whose sizes may be -1: as large as the values make it.

    Raises SeldonMicroserviceException (400) where they do not fit.
    """
    needed, count = abs(math.prod(shape)), values.size
    if -1 in shape:
        fits = needed > 0 and count % needed == 0
        wanted = f"a multiple of {needed}"
    else:
        fits = needed == count
        wanted = str(needed)
    if not fits:
        raise SeldonMicroserviceException(
            f"data.tensor.shape {shape} needs {wanted} values, but data.tensor.values has {count}"
        )
    try:
        return values.reshape(shape)
    except ValueError as error:
        raise SeldonMicroserviceException(f"data.tensor.shape {shape}: {error}") from None


def is_shape(sizes: Sequence[Any]) -> bool:
    """Return whether they are whole numbers, with one -1 at most."""
    return all(type(size) is int and size >= -1 for size in sizes) and sizes.count(-1) < 2


def output_form(form: Form, is_numeric: bool) -> Form:
    """Return the form of an array that answers a request of `form`; never NONE."""
    if not is_numeric:
        return Form.NDARRAY
    return Form.TENSOR if form is Form.NONE else form


def is_numeric(array: Array) -> bool:
    """Return whether it holds numbers; booleans are none. As for numpy, lengths of time are whole numbers."""
    return array.dtype.kind in "iufcm"


def array_of(result: Array | list[Any]) -> Array:
    """Return a hook's array or list as an array; what is masked in it stays masked."""
    if isinstance(result, np.ndarray):
        return result
    if not _has_masked(result):
        return np.asarray(result)
    parts = [array_of(part) if isinstance(part, list) else np.ma.asarray(part) for part in result]
    stacked: Array = np.ma.stack(parts)
    return stacked


def _has_masked(parts: list[Any]) -> bool:
    return any(
        isinstance(part, np.ma.MaskedArray) or (isinstance(part, list) and _has_masked(part))
        for part in parts
    )


def without_masked(array: Array) -> Array:
    """Return numbers with NaN for what is masked, where a form has no other word for it: it is nobody's to read."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if not np.ma.is_masked(array):
        return array.data
    filled = np.array(array.data, np.float64)
    filled[np.ma.getmaskarray(array)] = np.nan
    return filled


def names_of(array: Array, class_names: ClassNames) -> Sequence[str]:
    """Return the names for an answer: the component's, or t:0, t:1, ... for its second axis; none below two axes."""
    if array.ndim < 2:
        return []
    names = class_names()
    return default_names(array.shape[1]) if names is None else names


@functools.lru_cache(maxsize=64)
def default_names(count: int) -> tuple[str, ...]:
    return tuple(f"t:{index}" for index in range(count))


def unknown_type_message(result: Any) -> str:
    return f"Unknown data type returned as payload (must be list or np array):{result}"
