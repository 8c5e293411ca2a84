"""Values of the types that parameters of models have: `{"name", "value", "type"}`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

#: The words for a truth.
TRUTHS: Final = {
    **dict.fromkeys(("y", "yes", "t", "true", "on", "1"), True),
    **dict.fromkeys(("n", "no", "f", "false", "off", "0"), False),
}
_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "INT": int,
    "FLOAT": float,
    "DOUBLE": float,
    "STRING": str,
    "BOOL": lambda value: TRUTHS[str(value).lower()],
    "JSON": lambda value: json.loads(str(value)),
}
TYPES: Final = tuple(_CONVERSIONS)


def typed_value(value: Any, kind: str) -> Any:
    """Return a value as one of its type, one of TYPES. Raises ValueError for what is none."""
    try:
        return _CONVERSIONS[kind](value)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is not a valid {kind}") from error
