"""What routers decide, apart from how their routes are asked.

`steps_of(call)` of a router is a generator: it yields `ReadBody`, `Forward` and `Ask`, is sent what they come to, and
returns the answer. Two drivers carry the steps out. `BaseModelRouter` has the routes of this process answer, on
threads; `mms.interfaces.mlrun.front.routing` has models of the server answer, on the front's event loop.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from mms.interfaces.mlrun.errors import error_text, status_of, with_strict_status


class Call(NamedTuple):
    """A request to a router.

    `model` is the key of a route, None for the router itself, and empty where the list of models is asked for.
    """

    model: str | None
    operation: str
    method: str | None
    event_id: Any


class ReadBody(NamedTuple):
    """Comes to the value of the request's body, None where there is none or where `member` cannot be in it."""

    member: str = ""


class Forward(NamedTuple):
    """Has one route answer the request, and comes to `Forwarded`. Raises what the route raises."""

    key: str
    operation: str


class Forwarded(NamedTuple):
    """A route's answer in the driver's own form; `steps_of` returns it as it is."""

    answer: Any
    is_success: bool = True


class Ask(NamedTuple):
    """Has routes answer at the same time, and comes to their outcomes by key.

    `method` stands in place of the request's; a request by GET has no body. `body` is the request where it was changed.
    """

    keys: tuple[str, ...]
    operation: str
    method: str | None = None
    body: Any = None


class Final(NamedTuple):
    """An answer of the router's own, with which a flow ends."""

    value: Any


class Outcome(NamedTuple):
    """What a route answered, or the text of why it did not.

    `status` is that of the failure by strict statuses, `own_status` the one that it always has, if it has one.
    """

    value: Any = None
    failure: str = ""
    status: int = 0
    own_status: int | None = None

    @classmethod
    def of_error(cls, error: BaseException) -> Outcome:
        own = getattr(error, "error_status_code", None)
        return cls(failure=error_text(error), status=status_of(error, True), own_status=own)


Outcomes = Mapping[str, Outcome]
Steps = Generator["ReadBody | Forward | Ask", Any, Any]


def successes(name: str, outcomes: Outcomes) -> dict[str, Any]:
    """Return the answers by key. Raises RuntimeError where no route of the router `name` has answered."""
    if not outcomes:
        raise with_strict_status(RuntimeError(f"router {name} has no routes"), 503)
    found = {key: one.value for key, one in outcomes.items() if not one.failure}
    if found:
        return found
    told = "; ".join(f"{key}: {one.failure}" for key, one in outcomes.items())
    error = RuntimeError(f"all models of {name} failed: {told}")
    own = {one.own_status for one in outcomes.values()}
    if len(own) == 1 and None not in own:
        error.error_status_code = own.pop()  # type: ignore[attr-defined]  # what status_of looks for
        raise error
    statuses = {one.status for one in outcomes.values()}
    raise with_strict_status(error, statuses.pop() if len(statuses) == 1 else 500)


def with_failures(answer: Any, outcomes: Outcomes) -> Any:
    """Return the answer, with the failures of routes named in it where there are any."""
    failed = {key: one.failure for key, one in outcomes.items() if one.failure}
    if failed and isinstance(answer, dict):
        answer["failed"] = failed
    return answer


def illegal_operation(call: Call) -> ValueError:
    return with_strict_status(
        ValueError(f"illegal model operation {call.operation}, method={call.method}"), 404
    )
