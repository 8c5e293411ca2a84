"""A request of a running batch, as the code of its model sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any


class Sequence:
    """One request from the step that it joins at to the one that it leaves at."""

    __slots__ = (
        "_make_state",
        "_parts",
        "error",
        "has_joined",
        "has_left",
        "id",
        "is_ended",
        "request",
        "state",
    )

    def __init__(self, request: Any, request_id: str, make_state: Callable[[], Any]) -> None:
        """`request`: as `handle` would get it. `make_state`: has the model's code admit it."""
        self.id = request_id
        self.request = request
        #: What `admit` has returned: the model's own.
        self.state: Any = None
        #: It gets no further step.
        self.is_ended = False
        #: Why it has failed.
        self.error: BaseException | None = None
        self.has_joined = self.has_left = False
        self._make_state = make_state
        #: What its client has not been sent: of one step.
        self._parts: deque[Any] = deque()

    def __repr__(self) -> str:
        ended = ", ended" if self.is_ended else ""
        return f"<Sequence {self.id}{ended}>"

    def end(self) -> None:
        """Let it leave after this step, whose part is the last one of its answer."""
        self.is_ended = True

    def fail(self, error: BaseException) -> None:
        """Let it leave with an error, as if its own code had raised it. Others go on."""
        self.is_ended = True
        self.error = _no_end(error)

    # The running batch's

    def join(self) -> None:
        """Raises whatever the model's code raises."""
        try:
            self.state = self._make_state()
        except StopIteration as error:
            raise _no_end(error) from error
        self.has_joined = True

    def put(self, part: Any) -> None:
        """Keep a part for its client."""
        if part is not None:
            self._parts.append(part)

    @property
    def has_parts(self) -> bool:
        return bool(self._parts)

    def take(self) -> tuple[Any, bool]:
        """Return the next part, and whether it is the last one. There has to be one."""
        part = self._parts.popleft()
        return part, self.is_ended and self.error is None and not self._parts


def _no_end(error: BaseException) -> BaseException:
    """Return what a sequence fails with. A StopIteration would end its answer as if all were there."""
    if not isinstance(error, StopIteration):
        return error
    failure = RuntimeError("the model's code has raised StopIteration")
    failure.__cause__ = error
    return failure
