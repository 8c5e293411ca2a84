"""JSON as Seldon's wrapper reads and writes it, numbers at orjson's and numpy's speed.

Written: compact, ASCII, keys sorted, a line feed at the end.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import email.utils
import json
import math
import re
import uuid
from typing import Any

import numpy as np
import orjson

from mms.bodies.long_integers import has_long_integer

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_SERIALIZE_NUMPY
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
)
#: What an ASCII writer escapes and orjson leaves as it is.
_ESCAPED = re.compile("[^\x00-\x7e]")
_DELETE = b"\x7f"


def load_json(body: bytes | bytearray | memoryview | str) -> Any:
    """Return the value of a JSON text. Raises ValueError with the parser's message.

    What orjson refuses and Python's parser reads (NaN, lone surrogates, UTF-16) is read, and integers of any length.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    else:
        if not has_long_integer(body):
            return found
    try:
        return json.loads(bytes(body) if isinstance(body, memoryview) else body)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def dump_json(value: Any, strict: bool = False) -> bytes:
    """Return the JSON text of an answer; arrays of numbers in it are written without Python objects.

    NaN and infinities: null, or where `strict` the tokens of Seldon's wrapper, which are no JSON.
    Beside what Seldon's wrapper writes, numpy's numbers and arrays are taken anywhere.
    Raises TypeError for what has no JSON form, ValueError for a circle.
    """
    try:
        text = orjson.dumps(value, _other, _OPTIONS)
    except orjson.JSONEncodeError:
        # Integers beyond 64 bits, lone surrogates, keys that are no strings, or no JSON at all.
        return _dump_in_python(value if strict else _plain(value))
    if strict and b"null" in text:
        return _dump_in_python(value)
    return _as_ascii(text) + b"\n"


def _dump_in_python(value: Any) -> bytes:
    text = json.dumps(value, default=_other, separators=(",", ":"), sort_keys=True)
    return text.encode("ascii") + b"\n"


def is_of_pandas(value: Any) -> bool:
    return any(base.__module__.partition(".")[0] == "pandas" for base in type(value).__mro__)


def _of_pandas(value: Any) -> Any:
    """Return rows by columns' names, lists, None for what is missing. By what it has: nothing imports pandas."""
    if hasattr(value, "columns"):
        return value.astype(object).where(value.notna(), None).to_dict("records")
    if hasattr(value, "to_numpy") and hasattr(value, "notna"):
        return value.astype(object).where(value.notna(), None).tolist()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "to_pydatetime"):
        return _other(value.to_pydatetime())
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _plain(value: Any) -> Any:
    """Return the same with text as keys and nothing that is not finite."""
    if isinstance(value, dict):
        return {_key(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, np.longdouble):
        return _plain(float(value))
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.clongdouble):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise TypeError(f"keys must be str, int, float, bool or None, not {type(key).__name__}")


def _as_ascii(text: bytes) -> bytes:
    if text.isascii() and _DELETE not in text:
        return text
    return _ESCAPED.sub(_escape, text.decode()).encode("ascii")


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _other(value: Any) -> Any:
    """Return what orjson leaves to us: some arrays and, as Flask's JSON has them, some classes."""
    if isinstance(value, np.longdouble):
        # Python has no number of its own for it.
        return float(value)
    if isinstance(value, np.clongdouble):
        return _other(complex(value))
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if is_of_pandas(value):
        return _of_pandas(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return email.utils.format_datetime(value.astimezone(datetime.timezone.utc), usegmt=True)
    if isinstance(value, datetime.date):
        return _other(datetime.datetime(value.year, value.month, value.day))
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "__html__"):
        return str(value.__html__())
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
