"""A route: a row of the table that dispatch, access control, `Allow`, fast path and descriptions come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from mms.errors import ResourceNotFound
from mms.http.routing.match import Match
from mms.http.routing.operation import Operation
from mms.security import Role

if TYPE_CHECKING:
    from aiohttp import web

    from mms.http.lane.head import LaneRoute

#: Answers a request. The values of the pattern's variables are in `request.match_info`.
Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"
#: Gives a request the form that its protocol has for errors and headers, before anything can be refused.
AnswerForm: TypeAlias = "Callable[[web.Request], None]"
#: The route of a prediction for the fast path; None where the fast path cannot serve it now.
FastPath: TypeAlias = "Callable[[Match], LaneRoute | None]"

ANY_METHOD: Final = ("*",)
#: What anybody may ask.
OPEN: Final[tuple[Role, ...]] = ()
#: What needs a key, whichever.
ANY_ROLE: Final = tuple(Role)
INFERENCE_ROLE: Final = (Role.INFERENCE,)
MANAGEMENT_ROLE: Final = (Role.MANAGEMENT,)
METRICS_ROLE: Final = (Role.METRICS,)

_TAIL: Final = ":.*"


class Pattern:
    """A path such as `/models/{model_name}/ready`, in the form that aiohttp has.

    A variable stands for one segment, which may be empty. `{name:.*}` at the end stands for any number of further
    ones, none included; its value is those segments with `/` between them. Other segments are percent-decoded.
    """

    def __init__(self, text: str) -> None:
        """Raises ValueError for a tail that is not at the end."""
        self.text = text
        #: For each segment the name of its variable, or None and the literal.
        self.segments: list[tuple[str | None, str]] = []
        self.tail: str | None = None
        for part in text.strip("/").split("/") if text.strip("/") else ():
            if self.tail is not None:
                raise ValueError(f"{text}: {{{self.tail}{_TAIL}}} is not at the end")
            if part.startswith("{") and part.endswith(_TAIL + "}"):
                self.tail = part[1 : -len(_TAIL) - 1]
            elif part.startswith("{") and part.endswith("}"):
                self.segments.append((part[1:-1], ""))
            else:
                self.segments.append((None, unquote(part)))

    def __repr__(self) -> str:
        return f"<Pattern {self.text}>"

    @property
    def variables(self) -> list[str]:
        """Names of the variables that stand for one segment."""
        return [name for name, _ in self.segments if name is not None]

    @property
    def shown(self) -> str:
        """The path as descriptions name it, without a tail."""
        return self.text if self.tail is None else self.text.rpartition("/")[0] or "/"

    def values(self, segments: list[str]) -> dict[str, str]:
        """Return the variables' values for the segments of a path that has this pattern."""
        values = {
            name: segment
            for (name, _), segment in zip(self.segments, segments, strict=False)
            if name is not None
        }
        if self.tail is not None:
            values[self.tail] = "/".join(segments[len(self.segments) :])
        return values


@dataclass(frozen=True)
class Route:
    """A row.

    Of rows whose patterns match a path, the first one's pattern decides; the other rows of that pattern are the path's
    other methods.

    `methods`: those that it serves, `ANY_METHOD`, or none: every method is refused there. `roles`: one of these is
    needed. `answer_form`: None for MMS's. `fast_path`: None for what the fast path never serves. `applies`: whether the
    row counts for a method now, since models come and go; None: always. `concerns`: whether it counts for the values of
    its variables, since models of one tree may speak different protocols; None: for all. Rows of one pattern that
    concern different values are asked one after the other. `leads_on`: the row that counts in this one's place, where a
    request's headers name another path of the same API. `answers_preflights`: a browser's question whether a page may
    send a request goes to the handler. `takes_session`: it is the console's: a page's session stands for a key, and
    pages of other sites may not ask. `changes_server`: they may not either, though no role of management is needed.
    `operations`: what the API description says of it.
    """

    methods: tuple[str, ...]
    pattern: str
    handler: Handler
    roles: tuple[Role, ...] = ANY_ROLE
    answer_form: AnswerForm | None = None
    fast_path: FastPath | None = None
    applies: Callable[[str], bool] | None = None
    concerns: Callable[[Mapping[str, str]], bool] | None = None
    leads_on: Callable[[web.Request, Found], Found] | None = None
    answers_preflights: bool = False
    takes_session: bool = False
    changes_server: bool = False
    operations: tuple[Operation, ...] = ()

    @cached_property
    def parsed(self) -> Pattern:
        return Pattern(self.pattern)

    def serves(self, method: str) -> bool:
        return method in self.methods or self.methods == ANY_METHOD

    def is_for(self, method: str) -> bool:
        """Return whether the row counts for a method now."""
        return self.applies is None or self.applies(method)


class Found(NamedTuple):
    """The row of a path."""

    route: Route
    match: Match


class RouteChanged(ResourceNotFound):
    """Raised by a handler: what its path stands for became known only now, and another row may have it."""


async def not_found(request: web.Request) -> web.StreamResponse:
    """Raises ResourceNotFound."""
    raise ResourceNotFound


#: Of a path that has no route.
NO_ROUTE: Final = Found(Route(ANY_METHOD, "/{tail:.*}", not_found), Match(methods=ANY_METHOD))
