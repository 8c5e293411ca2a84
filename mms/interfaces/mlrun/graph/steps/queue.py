"""Steps that pass events on by way of a stream."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.graph.steps.base import BaseStep, StepKinds

#: Marks a body that was pushed with what the event carried beside it.
WRAPPER = "full_event_wrapper"


class QueueStep(BaseStep):
    """A queue between the functions of a graph. Where those after it run in this process, events pass through."""

    kind = StepKinds.queue
    default_shape = "cds"
    _MADE = ("context", "_stream")
    _FIELDS = (
        *("path", "after", "comment", "shape", "shards", "retention_in_hours", "trigger_args"),
        *("options", "on_error"),
    )

    def __init__(
        self,
        name: str | None = None,
        path: str | None = None,
        after: list[str] | None = None,
        shards: int | None = None,
        retention_in_hours: int | None = None,
        trigger_args: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """`path`: a stream as for tracking, or empty: nothing is pushed. `options`: of the stream."""
        super().__init__(name, after)
        self.path = path
        self.shards = shards
        self.retention_in_hours = retention_in_hours
        self.trigger_args = trigger_args
        self.options: dict[str, Any] = options
        self._stream: Any = None
        self._has_followers = False
        self._is_last = True

    @property
    def stream(self) -> Any:
        """Where events are pushed to, once the graph is made; None where nothing is pushed."""
        return self._stream

    def place(self, has_followers: bool, is_last: bool) -> None:
        """Note whether steps come after it at all, and whether none of them runs in this process."""
        self._has_followers = has_followers
        self._is_last = is_last

    def init_object(
        self, context: Any, namespace: Any, mode: str = "sync", reset: bool = False, **extra: Any
    ) -> None:
        super().init_object(context, namespace, mode)
        if mode != "skip":
            self.post_init(mode)

    def post_init(self, mode: str = "sync") -> None:
        """Open the stream, where events leave this process here. Raises ValueError for a path that is none."""
        self._stream = None
        if self._is_last and self.path:
            from mms.interfaces.mlrun.records.streams import get_stream_pusher

            is_mock = bool(getattr(self.context, "is_mock", False))
            path = "dummy://" if is_mock else self.path
            self._stream = get_stream_pusher(path, **(self.options or {}))

    def run(self, event: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._is_last:
            return event
        if self._stream is not None:
            self._stream.push([self._record(event)])
        if self._has_followers:
            # The answer is another function's, which nobody here waits for.
            event.terminated = True
            event.body = {"id": event.id}
        return event

    def flush(self) -> None:
        """Wait, for a few seconds, until what was pushed is written."""
        flush = getattr(self._stream, "flush", None)
        if flush is not None:
            flush()

    def _record(self, event: Any) -> Any:
        if not self._has_followers:
            return event.body
        return {
            WRAPPER: True,
            "key": getattr(event, "key", None),
            "id": event.id,
            "body": event.body,
        }


def unwrapped(event: Any) -> Any:
    """Return the event as it was before a queue pushed it."""
    body = event.body
    if type(body) is dict and body.get(WRAPPER) is True:
        event.body = body.get("body")
        event.id = body.get("id") or event.id
        event.key = body.get("key") or ""
    return event
