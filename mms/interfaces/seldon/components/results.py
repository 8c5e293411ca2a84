"""What a hook returned: the payload, and the tags and metrics of this one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mms.interfaces.seldon.codec.forms import ClassNames
from mms.interfaces.seldon.codec.json_text import is_of_pandas
from mms.interfaces.seldon.components.hooks import NOT_IMPLEMENTED, OwnHooks, ask
from mms.interfaces.seldon.errors import INTERNAL_ERROR, SeldonMicroserviceException
from mms.text.brief import brief

#: Types of results that need no second look.
_PLAIN_TYPES = frozenset((np.ndarray, list, dict, str, bytes, bytearray, int, type(None)))
_RESPONSE_NAME = "SeldonResponse"


class Result(NamedTuple):
    """`is_plain`: it came without a SeldonResponse around it. `names`: of the columns of a table."""

    data: Any
    tags: Any
    metrics: Any
    is_plain: bool
    names: Sequence[str] | None = None

    def class_names(self, own: ClassNames) -> ClassNames:
        """Return what asks for the names of its columns: the component's come first."""
        names = self.names
        if names is None:
            return own

        def found() -> Any:
            its = own()
            return names if its is None else its

        return found


def result_of(returned: Any) -> Result:
    """Return the SeldonResponse's members, ours or those of Seldon's package, or the payload itself.

    A DataFrame or Series of pandas becomes an array.
    """
    kind = type(returned)
    if kind in _PLAIN_TYPES:
        return Result(returned, None, [], True)
    if any(b.__name__ == _RESPONSE_NAME for b in kind.__mro__):
        data, names = array_of_table(returned.data)
        return Result(data, returned.tags, returned.metrics, False, names)
    data, names = array_of_table(returned)
    return Result(data, None, [], True, names)


def array_of_table(value: Any) -> tuple[Any, list[str] | None]:
    """Return (array, names of its columns) of a table of pandas; anything else as it is, without names.

    What is missing among objects is None. Columns that pandas has numbered have no names.
    """
    # By what it has: pandas is not imported for it.
    if not is_of_pandas(value) or not hasattr(value, "to_numpy"):
        return value, None
    array = value.to_numpy()
    if array.dtype == object:
        array = array.copy()
        array[np.asarray(value.isna())] = None
    columns = getattr(value, "columns", None)
    if columns is None or type(columns).__name__ == "RangeIndex":
        return array, None
    return array, [str(name) for name in columns]


def refuse_none(data: Any, hook: str, strict: bool) -> None:
    """A hook without a result is its author's fault; Seldon's wrapper (`strict`) blames the client with a 400."""
    if data is None and not strict:
        raise SeldonMicroserviceException(
            f"{hook} returned None; a result is an array, list, dict, str or bytes",
            status_code=500,
            reason=INTERNAL_ERROR,
        )


def class_names_of(component: Any, hooks: OwnHooks) -> Callable[[], Any]:
    """Return what asks for the names of a result's columns: None for the default ones.

    The attribute is looked up each time: components set it while they load lazily, or with each prediction.
    """
    bases = hooks.base_functions("class_names")

    def class_names() -> Any:
        found = getattr(component, "class_names", None)
        if found is None:
            return None
        if callable(found):
            if bases and getattr(found, "__func__", None) in bases:
                return None
            found = ask(found)
            if found is NOT_IMPLEMENTED:
                return None
        elif hasattr(found, "__next__"):
            # It gives its names once alone.
            found = component.class_names = list(found)
        return _listed(found)

    return class_names


def _listed(names: Any) -> Any:
    """Return names as JSON has them: of any iterable a list. A single text is no list of its letters."""
    if names is None or isinstance(names, list | tuple | str):
        return names
    try:
        return names.tolist() if hasattr(names, "tolist") else list(names)
    except TypeError:
        raise SeldonMicroserviceException(
            f"class_names is {brief(names)}; a list of texts is right",
            status_code=500,
            reason=INTERNAL_ERROR,
        ) from None
