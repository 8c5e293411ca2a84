"""Streams that records and events are pushed to: by the tracking of models, by queues and by error streams."""

from __future__ import annotations

import json
from typing import Any

from mms.bodies.json_text import to_record_text
from mms.text.urls import without_secrets

#: What waits at the end of the process is written within this time.
END_S = 5.0


class MemoryStream:
    """Keeps what was pushed, as a reader of the stream would see it, in `event_list`."""

    def __init__(self) -> None:
        self.event_list: list[Any] = []

    def __repr__(self) -> str:
        return f"<MemoryStream of {len(self.event_list)} events>"

    def push(self, data: Any, **_: Any) -> None:
        """Take one event, or a list of them."""
        self.event_list += [json.loads(to_record_text(record)) for record in _listed(data)]

    def flush(self, timeout_s: float = END_S) -> bool:
        return True

    def close(self, timeout_s: float = END_S) -> bool:
        return True


class MockStream(MemoryStream):
    """Keeps what a stream of v3io would have been sent, in `_mock_queue`."""

    def __init__(self) -> None:
        super().__init__()
        self._mock_queue: list[dict[str, str]] = []

    def push(self, data: Any, **_: Any) -> None:
        """Take one event, or a list of them."""
        self._mock_queue += [{"data": to_record_text(record)} for record in _listed(data)]


class QueuedStream:
    """Hands records to a thread that writes them. A push neither waits nor fails; what finds no room is counted."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        """Raises ValueError, OSError or ImportError, as `mms.tracking.open_sink`."""
        import weakref

        from mms.tracking import RecordQueue, open_sink

        self.path = path
        self._queue = RecordQueue(open_sink(path, **options), without_secrets(path))
        # Also at the end of the process, where nobody closes it.
        self._end = weakref.finalize(self, self._queue.close, END_S)

    def __repr__(self) -> str:
        return f"<QueuedStream {self._queue!r}>"

    @property
    def written(self) -> int:
        return self._queue.counts.written

    @property
    def dropped(self) -> int:
        return self._queue.counts.dropped

    def push(self, data: Any, **_: Any) -> None:
        """Take one event, or a list of them."""
        self._queue.push([to_record_text(record).encode() for record in _listed(data)])

    def flush(self, timeout_s: float = END_S) -> bool:
        """Wait until all that was pushed is written or dropped. Returns whether the time was enough."""
        return self._queue.flush(timeout_s)

    def close(self, timeout_s: float = END_S) -> bool:
        """Flush as `flush` does; nothing can be pushed afterwards."""
        self._end.detach()
        return self._queue.close(timeout_s)


def get_stream_pusher(stream_path: str, **stream_args: Any) -> Any:
    """Return what takes records for a path: a file (JSON lines), `http(s)://`, `kafka://host:port/topic`, `dummy://`.

    `stream_args`: of the sink (`kafka_brokers`, `kafka_producer_options`, `max_bytes`, ...), `project` for `{project}`
    in the path; `mock=True` keeps the records as `{"data": text}` in `_mock_queue`. Raises ValueError for a path or
    argument that is none, OSError for a file that cannot be written.
    """
    if stream_args.get("mock"):
        return MockStream()
    for name in ("access_key", "shards", "retention_in_hours", "create", "endpoint"):
        # Of v3io's streams: without meaning for others, and not worth refusing a graph for.
        stream_args.pop(name, None)
    if stream_path.startswith("dummy://"):
        return MemoryStream()
    return QueuedStream(stream_path, stream_args)


def _listed(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [data]
