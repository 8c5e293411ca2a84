"""Joins what the branches of a flow made of an event."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.graph.lookup import expression
from mms.interfaces.mlrun.graph.steps.base import NO_EVENT
from mms.interfaces.mlrun.model.step_dict import StepToDict

_MAX_BEHIND = 64
#: Events are told that come after theirs was dropped, so long as no more than so many others were since.
_REMEMBERED_PER_WAITING = 64


class Merge(StepToDict):
    """Waits for the events of all branches and passes on one, whose body is the list of theirs."""

    _CLASS_NAME = "mlrun.serving.merger.Merge"

    def __init__(
        self,
        full_event: bool | None = None,
        key_path: str | None = None,
        max_behind: int | None = None,
        expected_num_events: int | None = None,
        name: str | None = None,
        context: Any = None,
        graph_step: Any = None,
        **kwargs: Any,
    ) -> None:
        """`key_path`: an expression over `event`, the body, that is the same for events that belong together.

        Without it these are the events of one id. `max_behind`: of how many keys events are kept while others are
        waited for; beyond that the oldest are dropped. `expected_num_events`: by default as many as there are steps
        before this one. `full_event`: the list is one of whole events.
        """
        self.name = name
        self.context = context
        self.key_path = key_path
        self.max_behind = max_behind
        self.expected_num_events = expected_num_events
        self._full_event = full_event
        self._kwargs = kwargs
        self._key = None if key_path is None else expression(key_path, ("event",), name or "Merge")
        self._graph_step = graph_step
        self._expected: int | None = None
        # key -> its events so far; oldest first
        self._waiting: dict[Any, list[Any]] = {}
        self._dropped: dict[Any, None] = {}

    def post_init(self, mode: str = "sync") -> None:
        expected = self.expected_num_events
        if expected is None:
            expected = _sources_of(self._graph_step)
        self._expected = max(1, expected)

    def do_event(self, event: Any) -> Any:
        """Return the joined event with the last of those it was waited for, NO_EVENT before."""
        key = event.id if self._key is None else self._key(event.body)
        if key in self._dropped:
            return NO_EVENT
        found = self._waiting.setdefault(key, [])
        found.append(event if self._full_event else event.body)
        if len(found) >= (self._expected or 1):
            del self._waiting[key]
            event.body = found
            return event
        most = self.max_behind or _MAX_BEHIND
        if len(self._waiting) > most:
            self._drop_oldest(most)
        return NO_EVENT

    def _drop_oldest(self, most: int) -> None:
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._dropped[key] = None
        if len(self._dropped) > most * _REMEMBERED_PER_WAITING:
            del self._dropped[next(iter(self._dropped))]
        if self.context is not None:
            self.context.logger.warning(
                "step %s: not all events of %r came before %s other keys did, so it is dropped",
                self.name,
                key,
                most,
            )


def _sources_of(step: Any) -> int:
    """Return how many events of one a step gets: one from each step before it, from a queue as many as that gets."""
    parent = getattr(step, "parent", None)
    if parent is None:
        return 1
    count = 0
    for name in step.after:
        before = parent.steps.get(name)
        count += max(1, _sources_of(before)) if getattr(before, "kind", "") == "queue" else 1
    return count
