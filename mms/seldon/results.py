"""What a hook returned: the payload, and the tags and metrics of this one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mms.seldon.errors import INTERNAL_ERROR, SeldonMicroserviceException, is_not_implemented
from mms.seldon.hooks import OwnHooks

#: Types of results that need no second look.
_PLAIN_TYPES = frozenset((np.ndarray, list, dict, str, bytes, bytearray, int, type(None)))
_RESPONSE_NAME = "SeldonResponse"


class Result(NamedTuple):
    """`is_plain`: it came without a SeldonResponse around it."""

    data: Any
    tags: Any
    metrics: Any
    is_plain: bool


def result_of(returned: Any) -> Result:
    """The SeldonResponse's members, ours or those of Seldon's package, or the payload itself."""
    kind = type(returned)
    if kind not in _PLAIN_TYPES and any(b.__name__ == _RESPONSE_NAME for b in kind.__mro__):
        return Result(returned.data, returned.tags, returned.metrics, False)
    return Result(returned, None, [], True)


def refuse_none(data: Any, hook: str, strict: bool) -> None:
    """A hook without a result is its author's fault; Seldon's wrapper (`strict`) blames the client with a 400."""
    if data is None and not strict:
        raise SeldonMicroserviceException(
            f"{hook} returned None; a result is an array, list, dict, str or bytes",
            status_code=500,
            reason=INTERNAL_ERROR,
        )


def class_names_of(component: Any, hooks: OwnHooks) -> Callable[[], Any]:
    """What asks for the names of a result's columns: None for the default ones.

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
            try:
                found = found()
            except Exception as error:
                if is_not_implemented(error):
                    return None
                raise
        return found.tolist() if hasattr(found, "tolist") else found

    return class_names
