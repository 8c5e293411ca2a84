"""The types of parameters: how their values are read from a call and from a file, and what the API description says.

A call has texts in its query, and lenient JSON in its body, where numbers may be texts. A file is typed.
"""

from __future__ import annotations

import json
import math
import os.path
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mms.text.brief import brief
from mms.text.durations import bounded_s

_TRUE: Final = ("yes", "true", "y", "1")
_FALSE: Final = ("no", "false", "n", "0")
#: Beyond it numbers fit neither frames nor floats.
_HUGE: Final = 10**18
_INTEGER: Final[Mapping[str, Any]] = {"type": "integer"}
#: What a setting of the same name takes, too.
_MOST_THREADS: Final = 1024
_BOOLEAN: Final[Mapping[str, Any]] = {"type": "boolean"}
_MOST_IN_FILE: Final = 10**9
#: A JSON value as a text within a parameter, in characters.
_MAX_JSON_CHARS: Final = 64 * 1024
_SHA256 = re.compile("(?:sha256:)?([0-9a-f]{64})")
RUNTIMES: Final = ("python", "python2", "python3")
#: In seconds.
UNITS: Final[Mapping[str, float]] = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0}


class InvalidValue(ValueError):
    """A value that a parameter cannot have. The text goes on after the parameter's name."""


class InvalidCall(ValueError):
    """A call that cannot be; the text is whole."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of parameter.

    `convert` takes a value of a call and its unit, `convert_exactly` one of a file. They raise InvalidValue, the second
    with what would be right. `caveat` returns what is to be said of a value that counts otherwise than it seems.
    """

    name: str
    convert: Callable[[Any, str], Any]
    convert_exactly: Callable[[Any, str], Any]
    #: In a query, as OpenAPI says it.
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    caveat: Callable[[Any], str | None] = lambda value: None
    #: The values that there are; none where there are too many to name.
    words: tuple[str, ...] = ()
    #: In a JSON body, where it is another one; an empty one stands for JSON, or the text that a query has.
    json_schema: Mapping[str, Any] | None = None
    is_truth: bool = False
    #: Whether an empty text is a value, and does not stand for the default.
    takes_empty: bool = False
    #: The least number that makes sense, of which commands take no less.
    least: int | None = None


def text_of(value: Any) -> str:
    """Return a text, as JSON may have it as a number or truth, too. Raises InvalidValue."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _HUGE):
        return str(value)
    raise InvalidValue(f"must be a text, not {brief(value)}.")


def integer_of(value: Any) -> int:
    """Return a whole number. Raises InvalidValue."""
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise InvalidValue(f"must be a whole number, not {brief(value)}.") from None
    if abs(number) >= _HUGE:
        raise InvalidValue(f"must be a whole number of at most 18 digits, not {brief(value)}.")
    return number


def count_of(value: Any) -> int:
    """Return a whole number from 0 on. Raises InvalidValue."""
    number = integer_of(value)
    if number < 0:
        raise InvalidValue(f"must be 0 or more, not {brief(value)}.")
    return number


def truth_of(value: Any) -> bool:
    """Raises InvalidValue for what is neither true nor false."""
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidValue(f"must be true or false, not {brief(value)}.")


def _seconds_of(value: Any, unit: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        amount = float(value)
    except (ValueError, TypeError, OverflowError):
        amount = -1.0
    if not 0 <= amount < math.inf:
        raise InvalidValue(f"must be a number of {unit} from 0 on, not {brief(value)}.")
    return bounded_s(amount, UNITS[unit])


def _seconds_exactly(value: Any, unit: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidValue(f"a number of {unit} from 0 on")
    try:
        return float(value) * UNITS[unit]
    except OverflowError:
        raise InvalidValue(f"a number of {unit} from 0 on") from None


def _timeout_of(value: Any, unit: str) -> float | None:
    number = integer_of(value)
    return bounded_s(number, UNITS[unit]) if number >= 0 else None


def _whole_exactly(least: int) -> Callable[[Any, str], int]:
    def convert(value: Any, unit: str) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not least <= value < _MOST_IN_FILE:
            raise InvalidValue(f"a whole number from {least} on")
        return int(value)

    return convert


def count_exactly(value: Any) -> int:
    """Return a whole number from 0 on in a file. Raises InvalidValue with what would be right."""
    return _whole_exactly(0)(value, "")


def _truth_exactly(value: Any, unit: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue("true or false")
    return value


def _text_exactly(value: Any, unit: str) -> str:
    if not isinstance(value, str):
        raise InvalidValue("a text")
    return value


def _gpus_of(value: Any, unit: str) -> tuple[int, ...]:
    parts = value if isinstance(value, list) else str(value).strip("[] ").split(",")
    texts = [str(part).strip() for part in parts]
    if not texts or not all(text.isascii() and text.isdigit() for text in texts):
        raise InvalidValue(f"must be numbers of GPUs such as 0,2, not {brief(value)}.")
    # No machine has GPUs of more digits.
    return tuple(int(text[:9]) for text in texts)


def _gpus_exactly(value: Any, unit: str) -> tuple[int, ...]:
    try:
        if isinstance(value, list) and value:
            return tuple(count_exactly(number) for number in value)
    except InvalidValue:
        pass
    raise InvalidValue("a list of numbers of GPUs such as [0, 2]")


def _digest_of(value: Any, unit: str) -> str:
    found = _SHA256.fullmatch(text_of(value).strip().lower())
    if found is None:
        raise InvalidValue(f"must be a SHA-256 of 64 hexadecimal digits, not {brief(value)}.")
    return found[1]


def is_runtime(value: str | None) -> bool:
    """Return whether `value` names a runtime: one of MMS's three words or the absolute path of an interpreter."""
    return value is not None and (value in RUNTIMES or os.path.isabs(value))


def _runtime_of(value: Any, unit: str) -> str:
    runtime = text_of(value)
    if not is_runtime(runtime):
        # MMS's text, which clients know.
        raise InvalidCall(f"Invalid RuntimeType value: {runtime}")
    return runtime


def _json_of(value: Any, unit: str) -> Any:
    """JSON as text in a query, text or JSON in a JSON body."""
    if not isinstance(value, str):
        return value
    if len(value) > _MAX_JSON_CHARS:
        raise InvalidValue(
            f"is a text of {len(value)} characters; more than {_MAX_JSON_CHARS} are read only where the JSON is not "
            "within a text."
        )
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"is not valid JSON: {error}") from None


def _object_of(value: Any, unit: str) -> dict[str, Any]:
    document = _json_of(value, unit)
    if not isinstance(document, dict):
        raise InvalidValue(f"must be a JSON object, not {brief(document)}.")
    return document


def _as_it_is(value: Any, unit: str) -> Any:
    return value


def _waits_of(value: Any, unit: str) -> bool:
    if not isinstance(value, str | bool):
        raise InvalidValue(f"must be true or false, not {brief(value)}.")
    return str(value).lower() == "true"


def _waits_caveat(value: Any) -> str | None:
    if str(value).lower() in ("true", "false"):
        return None
    return f"={brief(value)} means false; only true is true"


def whole(
    least: int | None = None, read: Callable[[Any], int] = integer_of, *, in_file: int = 0
) -> Kind:
    """Whole numbers; one below `least` is taken as that. `in_file`: the least in a file."""

    def convert(value: Any, unit: str) -> int:
        number = read(value)
        return number if least is None else max(number, least)

    return Kind("integer", convert, _whole_exactly(in_file), _INTEGER, least=least or 0)


def choice(*words: str) -> Kind:
    """Return one of some words."""

    def convert(value: Any, unit: str) -> str:
        word = text_of(value)
        if word not in words:
            raise InvalidValue(f"must be {' or '.join(words)}, not {brief(value)}.")
        return word

    def convert_exactly(value: Any, unit: str) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            raise InvalidValue(" or ".join(words))
        return value.lower()

    shown = ", ".join(f"`{word}`" for word in words)
    return Kind(
        shown, convert, convert_exactly, {"type": "string", "enum": list(words)}, words=words
    )


def _threads_of(value: Any) -> int:
    number = integer_of(value)
    if not 1 <= number <= _MOST_THREADS:
        raise InvalidValue(f"must be from 1 to {_MOST_THREADS:,}, not {brief(value)}.")
    return number


def _threads_exactly(value: Any, unit: str) -> int:
    number = _whole_exactly(1)(value, unit)
    if number > _MOST_THREADS:
        raise InvalidValue(f"a whole number from 1 to {_MOST_THREADS:,}")
    return int(number)


THREADS: Final = Kind(
    "integer", lambda value, unit: _threads_of(value), _threads_exactly, _INTEGER, least=1
)
TEXT: Final = Kind("text", lambda value, unit: text_of(value), _text_exactly)
TRUTH: Final = Kind(
    "truth", lambda value, unit: truth_of(value), _truth_exactly, _BOOLEAN, is_truth=True
)
#: `true` in any case is true and every other text false, as in MMS, where Java reads it.
WAITS: Final = Kind(
    "`true` or `false`",
    _waits_of,
    _truth_exactly,
    _BOOLEAN,
    _waits_caveat,
    is_truth=True,
    takes_empty=True,
)
#: A time of any length; the value is in seconds.
DURATION: Final = Kind("number", _seconds_of, _seconds_exactly, {"type": "number"}, least=0)
#: In whole units, read as seconds; one below 0 stands for the default.
TIMEOUT: Final = Kind("integer", _timeout_of, _seconds_exactly, _INTEGER, least=1)
DIGEST: Final = Kind("64 hexadecimal digits", _digest_of, _text_exactly)
#: The words are MMS's description; a path is one, too.
RUNTIME: Final = Kind(
    "text",
    _runtime_of,
    _text_exactly,
    {"type": "string", "enum": ["PYTHON", "PYTHON2", "PYTHON3"]},
)
GPUS: Final = Kind("`0,2`, or a list in JSON", _gpus_of, _gpus_exactly, json_schema={})
#: A list of names, values and types; it is checked with the archive's.
ARGUMENTS: Final = Kind("JSON", _json_of, _as_it_is, json_schema={})
OBJECT: Final = Kind("JSON object", _object_of, _as_it_is, json_schema={})
#: A whole document; it is checked where it is used.
DOCUMENT: Final = Kind("JSON object", _as_it_is, _as_it_is, {"type": "object"})
#: What its place takes; it is checked there.
ANY: Final = Kind("text or JSON", _as_it_is, _as_it_is, json_schema={})
