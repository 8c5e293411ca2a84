"""What a client does, without input or output: an operation yields calls and pauses, and is sent the answers.

The two clients carry the steps out, one blocking, one on an event loop. So each operation, and what is tried again,
stands once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias, TypeVar

from mms.client.answer import Answer, Call
from mms.client.errors import CertificateNotTrusted, DeadlineExceeded, ServerUnreachable

T = TypeVar("T")


class Pause(NamedTuple):
    """Nothing is done for so long."""

    seconds: float


Steps: TypeAlias = "Generator[Call | Pause, Answer, T]"

#: Between two attempts to reach a server: twice as long each time, and never longer, in seconds.
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
#: Statuses that say, with Retry-After, that the request was not taken.
_NOT_TAKEN: Final = (429, 503)


@dataclass(frozen=True, slots=True)
class Rules:
    """`retries`: how often a call is tried again. `timeout_s`: for all attempts of a call and the pauses between."""

    retries: int = 2
    timeout_s: float = 300.0


def answered(call: Call, rules: Rules) -> Steps[Answer]:
    """Return the answer to a call, whatever its status.

    It is tried again where the server says when to come back (429 and 503 with `Retry-After`), where it was not
    reached, and where the connection was lost and the call may be repeated. Raises ServerUnreachable, DeadlineExceeded.
    """
    until = time.monotonic() + rules.timeout_s
    for left in reversed(range(rules.retries + 1)):
        timeout_s = until - time.monotonic()
        if timeout_s <= 0:
            break
        try:
            answer = yield replace(call, timeout_s=timeout_s)
        except CertificateNotTrusted:
            raise
        except ServerUnreachable as error:
            if not left or not (error.is_unsent or call.is_repeatable):
                raise
            pause_s = min(_FIRST_PAUSE_S * 2 ** (rules.retries - left), _LONGEST_PAUSE_S)
            if time.monotonic() + pause_s >= until:
                raise
        else:
            after_s = answer.retry_after_s
            if not left or answer.status not in _NOT_TAKEN or after_s is None:
                return answer
            pause_s = after_s
            if time.monotonic() + pause_s >= until:
                return answer
        # Those who were sent away together do not come back together.
        yield Pause(pause_s * random.uniform(1.0, 1.1))
    raise DeadlineExceeded(f"There was no answer within {rules.timeout_s:g} s.")
