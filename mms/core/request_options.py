"""The options of a request: in what time its client wants the answer, and how urgently."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from mms.core.priority_queue import HIGH, LOW, NORMAL
from mms.errors import BadRequest
from mms.text.brief import brief
from mms.text.durations import bounded_s

if TYPE_CHECKING:
    from mms.core.request import Request

_MILLISECONDS: Final = b"x-request-timeout"
_SECONDS: Final = b"request-timeout"
_PRIORITY: Final = b"x-request-priority"
#: The headers that options are read from, in lower case.
OPTION_HEADERS: Final = frozenset((_MILLISECONDS, _SECONDS, _PRIORITY))

_PRIORITIES: Final = {b"high": HIGH, b"normal": NORMAL, b"low": LOW}
_WHOLE: Final = re.compile(rb"[0-9]+")
_DECIMAL: Final = re.compile(rb"[0-9]+(\.[0-9]+)?")


class RequestOptions(NamedTuple):
    """`timeout_s`: from when the request was received; 0.0: none. `priority`: 0 high, 1 normal, 2 low."""

    timeout_s: float = 0.0
    priority: int = NORMAL


DEFAULT_OPTIONS: Final = RequestOptions()
#: Reads options from a request's headers, as `Request.headers` has them, and its body. Those of a body that is too
#: large for the event loop are awaited. Raises BadRequest, at once or when awaited.
BodyOptions: TypeAlias = (
    "Callable[[bytes, bytes | bytearray | memoryview], RequestOptions | Awaitable[RequestOptions]]"
)


def read_request_options(headers: Iterable[tuple[bytes, bytes]]) -> RequestOptions:
    """Return the options that headers name; of two timeouts the shorter one counts. Raises BadRequest for what is none.

    A timeout of any size is one; from `LONGEST_S` on it makes no difference.
    """
    timeouts = []
    priority = NORMAL
    for name, value in headers:
        name = name.lower()
        if name not in OPTION_HEADERS:
            continue
        value = value.strip()
        if name == _PRIORITY:
            found = _PRIORITIES.get(value.lower())
            if found is None:
                raise _refusal(name, value, "high, normal or low")
            priority = found
        elif name == _MILLISECONDS:
            if _WHOLE.fullmatch(value) is None or not float(value):
                raise _refusal(name, value, "a whole number of milliseconds from 1 on")
            timeouts.append(bounded_s(float(value), 0.001))
        else:
            if _DECIMAL.fullmatch(value) is None or not float(value):
                raise _refusal(name, value, "a number of seconds above 0")
            timeouts.append(bounded_s(float(value)))
    return RequestOptions(min(timeouts, default=0.0), priority)


def add_options(request: Request, options: RequestOptions) -> None:
    """Have options of a body count beside those of its headers: of two timeouts the shorter one does."""
    if options.timeout_s:
        deadline = request.received_at + options.timeout_s
        request.deadline = min(request.deadline or deadline, deadline)
    if options.priority != NORMAL:
        request.priority = options.priority


def _refusal(name: bytes, value: bytes, right: str) -> BadRequest:
    shown = value[:80].decode("latin-1")
    return BadRequest(f"Header {name.decode()}: {brief(shown)} should be {right}.")
