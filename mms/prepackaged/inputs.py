"""From what a request holds to what a model takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from mms.prepackaged.errors import UnfitInput
from mms.tensors.lists import array_of_lists
from mms.text.column_names import column_names

Array = npt.NDArray[Any]


def as_array(X: Any, dtype: npt.DTypeLike | None = None) -> Array:
    """Return the request's numbers or texts as an array, of `dtype` if given. Raises UnfitInput."""
    if not isinstance(X, np.ndarray | list):
        raise UnfitInput(
            f"the model takes an array (data.ndarray, data.tensor or a list in jsonData); "
            f"the request has {_described(X)}"
        )
    try:
        is_to_be_found = dtype is None and isinstance(X, list)
        array = array_of_lists(X) if is_to_be_found else np.asarray(X, dtype=dtype)
    except (TypeError, ValueError) as error:
        wanted = f" of {np.dtype(dtype)}" if dtype is not None else " with rows of equal length"
        raise UnfitInput(f"the input is not an array{wanted}: {error}") from error
    return array


def in_order(array: Array, names: list[str], wanted: list[str]) -> Array:
    """Columns in the order `wanted`, where the request names exactly these columns in another order."""
    if names == wanted or array.ndim != 2 or len(names) != array.shape[1]:
        return array
    if len(set(names)) == len(names) and sorted(names) == sorted(wanted):
        return array[:, [names.index(name) for name in wanted]]
    return array


def check_columns(array: Array, expected: int | None) -> None:
    """Raises UnfitInput where a table has another number of columns than the model was made with."""
    if expected is None:
        return
    if array.ndim != 2:
        raise UnfitInput(
            f"the model takes rows of {expected} values, such as [[1, 2], [3, 4]]; "
            f"the input has the shape {list(array.shape)}"
        )
    if array.shape[1] != expected:
        raise UnfitInput(f"a row has {array.shape[1]} values; the model takes {expected}")


def by_name(X: Any, names: Any, wanted: list[str]) -> Mapping[str, Any]:
    """Inputs of a model that has several, by name.

    From an object in jsonData, or from a table whose columns are the inputs: by the request's names, else by place.
    """
    if isinstance(X, Mapping):
        missing = [name for name in wanted if name not in X]
        unknown = [str(name) for name in X if name not in wanted]
        if missing or unknown:
            problem = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
            raise UnfitInput(f"jsonData {problem}; the model's inputs are {', '.join(wanted)}")
        return X
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == len(wanted):
        table = in_order(X, column_names(names), wanted)
        return {name: table[:, [column]] for column, name in enumerate(wanted)}
    raise UnfitInput(
        f"the model has {len(wanted)} inputs ({', '.join(wanted)}): send an object with these members in jsonData, "
        f"or one column for each"
    )


@contextmanager
def checked_by_the_model() -> Iterator[None]:
    """Tells the client what a library says about its input: they all raise ValueError for it."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UnfitInput(f"the model refuses the input: {error}") from error


def _described(X: Any) -> str:
    if isinstance(X, bytes | bytearray):
        return "binData"
    if isinstance(X, str):
        return "strData"
    if isinstance(X, Mapping):
        return "an object"
    return "nothing" if X is None else f"a single {type(X).__name__}"
