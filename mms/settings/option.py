"""What an option is: its type, unit, help, and how its text becomes its value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from mms.limits.networks import WORDS, Networks
from mms.settings.confinement import parse_rlimits, parse_user
from mms.settings.memory_size import larger_than_machine, parse_memory_size
from mms.settings.paths import (
    file_unusable,
    folder_unusable,
    handler_missing,
    not_a_file,
    odd_text,
    plugins_problem,
    store_problem,
)
from mms.text.address import Address
from mms.text.durations import LONGEST_S

#: in seconds
_UNITS_OF_TIME = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0}
_DIGITS = re.compile(r"[+-]?[0-9]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^\s/,:?#@]+)(:\d+)?", re.I)
_HEADER_WORD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_PATH = re.compile(r"/[^\s?#]*")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of option. `convert` raises ValueError; `wanted` says what would be right.

    `refuse` and `warn` look at a value with what is on this machine, once a server starts with it. They return what
    follows the value in a sentence, or None.
    """

    name: str
    wanted: str
    convert: Callable[[str], Any]
    refuse: Callable[[Any], str | None] | None = None
    warn: Callable[[Any], str | None] | None = None


#: Of one worker; no machine has use for more.
_MOST_THREADS = 1024
#: What one owner can feed is far less.
_MOST_FRONTS = 64
#: As many as the machine has use for.
AUTO_FRONTS = -1


def _integer(minimum: int | None) -> Callable[[str], int]:
    def convert(text: str) -> int:
        # int() alone would take underscores and the digits of other scripts, too.
        if _DIGITS.fullmatch(text.strip()) is None:
            raise ValueError
        value = int(text)
        if minimum is not None and value < minimum:
            raise ValueError
        return value

    return convert


def _threads(text: str) -> int:
    """Return 0 for `auto`."""
    count = 0 if text.strip().lower() == "auto" else _integer(1)(text)
    if count > _MOST_THREADS:
        raise ValueError
    return count


def _fronts(text: str) -> int:
    """Return AUTO_FRONTS for `auto`."""
    count = AUTO_FRONTS if text.strip().lower() == "auto" else _integer(0)(text)
    if count > _MOST_FRONTS:
        raise ValueError
    return count


def _number(text: str) -> float:
    value = float(text.strip())
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def _share(text: str) -> float:
    value = _number(text)
    if value > 1:
        raise ValueError
    return value


def _url(text: str) -> str:
    url = text.strip()
    if not _URL.fullmatch(url):
        raise ValueError
    # A number that is no port raises.
    if not urlsplit(url).hostname or urlsplit(url).port == 0:
        raise ValueError
    return url


def _positive_number(text: str) -> float:
    value = _number(text)
    if value == 0:
        raise ValueError
    return value


def _host_and_port(text: str) -> tuple[str, int]:
    if "://" in text or text.lower().startswith("unix:"):
        raise ValueError
    found = Address.parse_grpc(text.strip())
    return found.host, found.port


def _ray_address(text: str) -> str:
    word = text.strip()
    if word.lower() in ("auto", "local"):
        return word.lower()
    _host_and_port(word)
    return word


def _header_value(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError(
            "not a value of a header: it has a line break or another control character"
        )
    return text.strip()


def _odd_origin(text: str) -> str | None:
    if _ORIGIN.fullmatch(text):
        return None
    return "is no origin, so no browser accepts it; right are *, null, or one scheme://host[:port]"


def _odd_words(text: str) -> str | None:
    if all(_HEADER_WORD.fullmatch(word.strip()) for word in text.split(",")):
        return None
    return "is no list of words with commas between them, so no browser accepts it"


def _header_name(text: str) -> str:
    if not _HEADER_WORD.fullmatch(text.strip()):
        raise ValueError
    return text.strip()


def _handler(text: str) -> str:
    if not text.partition(":")[0].strip():
        raise ValueError
    return text


def _path(text: str) -> str:
    path = text.strip()
    if not _PATH.fullmatch(path):
        raise ValueError
    return path


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _regexes(text: str) -> tuple[str, ...]:
    return tuple(_regex(part.strip()) for part in text.split(",") if part.strip())


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _models(text: str) -> dict[str, dict[str, dict[str, Any]]]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError
    for versions in found.values():
        if not isinstance(versions, dict) or not all(
            isinstance(v, dict) for v in versions.values()
        ):
            raise ValueError
    return found


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("on", "off", "true", "false"):
        raise ValueError
    return word in ("on", "true")


def _address(is_management: bool) -> Callable[[str], Address]:
    return lambda text: Address.parse(text.strip(), is_management=is_management)


MODELS = Kind(
    "JSON",
    'JSON such as {"name": {"version": {"minWorkers": 1, "batchSize": 8}}}',
    _models,
)
NAMES = Kind("names", "names with commas between them", _names)
TEXT = Kind("text", "any text", lambda text: text, warn=odd_text)
HANDLER = Kind(
    "handler", "module:function, or /path/to/file.py:function", _handler, warn=handler_missing
)
#: Folders that are read; what is in them may come later.
MODEL_STORE = replace(TEXT, warn=store_problem)
PLUGIN_FOLDER = replace(TEXT, warn=plugins_problem)
#: A file that is read whole; whoever reads it tells of one that is not there.
READ_FILE = replace(TEXT, refuse=not_a_file, warn=odd_text)
#: A folder and a file that the server writes, and makes where they are missing.
WRITTEN_FOLDER = replace(TEXT, refuse=folder_unusable, warn=odd_text)
WRITTEN_FILE = replace(TEXT, refuse=file_unusable, warn=odd_text)
ORIGIN = Kind("origin", "*, null, or scheme://host[:port]", _header_value, warn=_odd_origin)
HEADER_WORDS = Kind("words", "words with commas between them", _header_value, warn=_odd_words)
HEADER_NAME = Kind("header", "the name of a header", _header_name)
PATH = Kind("path", "a path such as /metrics", _path)
#: Java's rule: whatever is not `true` is false.
BOOLEAN = Kind("true or false", "true or false", lambda text: text.strip().lower() == "true")
SWITCH = Kind("on or off", "on or off", _switch)
ANY_INTEGER = Kind("integer", "a whole number", _integer(None))
COUNT = Kind("integer", "a whole number from 0 on", _integer(0))
POSITIVE = Kind("integer", "a whole number from 1 on", _integer(1))
THREADS = Kind("auto or integer", f"auto, or a whole number from 1 to {_MOST_THREADS:,}", _threads)
FRONTS = Kind("auto or count", f"auto, or a whole number from 0 to {_MOST_FRONTS}", _fronts)
NUMBER = Kind("number", "a number from 0 on", _number)
SHARE = Kind("number", "a number from 0 to 1", _share)
URL = Kind("URL", "http://host:port or https://host:port, with or without a path", _url)
POSITIVE_NUMBER = Kind("number", "a number above 0", _positive_number)
NETWORKS = Kind(
    "networks",
    f"networks such as 10.1.0.0/16, or the words {', '.join(WORDS)}, with commas between them",
    Networks.parse,
)
REGEX = Kind("regular expression", "a regular expression", _regex)
REGEXES = Kind("regular expressions", "regular expressions with commas between them", _regexes)
RLIMITS = Kind("limits", "limits such as as=4G,nofile=1024", parse_rlimits)
MEMORY = Kind(
    "size",
    "a size above 0 such as 1500M or 2G, or a share of the memory such as 80%",
    parse_memory_size,
    warn=larger_than_machine,
)
USER = Kind("user", "the name or number of a user, or user:group", parse_user)
HOST_AND_PORT = Kind("HOST:PORT", "HOST:PORT; port 0 is one that is free", _host_and_port)
RAY_ADDRESS = Kind("auto, local or HOST:PORT", "auto, local or HOST:PORT", _ray_address)
INFERENCE_ADDRESS = Kind(
    "address", "http://host:port, https://host:port or unix:/path", _address(False)
)
MANAGEMENT_ADDRESS = Kind(
    "address", "http://host:port, https://host:port or unix:/path", _address(True)
)
GRPC_ADDRESS = Kind(
    "address",
    "grpc://host:port, grpcs://host:port or unix:/path",
    lambda text: Address.parse_grpc(text.strip()),
)


def choice(*words: str) -> Kind:
    """Return the kind of a value that is one of these words."""

    def convert(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError
        return word

    listed = " or ".join(words)
    return Kind(listed, listed, convert)


def choices(*words: str) -> Kind:
    """Return a list of some of these words, none of them twice."""

    def convert(text: str) -> tuple[str, ...]:
        found = [part.strip().lower() for part in text.split(",") if part.strip()]
        if not set(found) <= set(words):
            raise ValueError
        return tuple(dict.fromkeys(found))

    listed = ", ".join(words)
    return Kind(f"some of {listed}", f"some of {listed}, with commas between them", convert)


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `default` is shown as written in a file. `is_own`: MMS has no such option."""

    kind: Kind
    section: str
    help: str
    default: str = ""
    unit: str = ""
    has_variable: bool = True
    is_own: bool = False
    has_effect: bool = True


def _bounded(kind: Kind, unit: str) -> Kind:
    """Return the kind for a time: a longer one than `LONGEST_S` is taken as that."""
    most = int(LONGEST_S / _UNITS_OF_TIME[unit])
    return replace(kind, convert=lambda text: min(kind.convert(text), most))


def option(
    kind: Kind,
    section: str,
    help: str,
    default: str | None = None,
    *,
    unit: str = "",
    has_variable: bool = True,
    is_own: bool = False,
    has_effect: bool = True,
) -> Any:
    """Return a dataclass field for an option. Without a default its value is None."""
    if unit in _UNITS_OF_TIME:
        kind = _bounded(kind, unit)
    value = None if default is None else kind.convert(default)
    described = Option(kind, section, help, default or "", unit, has_variable, is_own, has_effect)
    return field(default=value, metadata={"option": described})
