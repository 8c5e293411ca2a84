"""Items of a batch as MLRun's classes read them: events."""

from __future__ import annotations

import time
from typing import Any

from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger
from mms.wire import Item, ModelOperation

#: Heads that are remembered; clients mostly send the same few.
_MAX_REMEMBERED = 256

_TRIGGER = MockTrigger("http", "http")
_USUAL = ModelOperation()


class EventReader:
    """Reads items."""

    def __init__(self, *, is_graph: bool = False, prefix: str = "") -> None:
        """`is_graph`: events have the whole path, and until when they are to be answered (`deadline_s`). Where the
        client's path names the graph itself, it is what follows that, an operation alone below `prefix`."""
        self._is_graph = is_graph
        self._prefix = prefix
        self._heads: dict[bytes, dict[str, str]] = {}

    def __repr__(self) -> str:
        return f"<EventReader, {len(self._heads)} heads>"

    def read(self, item: Item) -> MockEvent:
        """Return the event; its body as it came, None where there is none. Its path is the operation."""
        request_id, _, content_type, query, block, budget_ms, body, asked = item
        block = bytes(block)
        headers = self._heads.get(block)
        if headers is None:
            headers = _headers_of(block)
            if len(self._heads) >= _MAX_REMEMBERED:
                self._heads.clear()
            self._heads[block] = headers
        operation, method, path, *_ = asked or _USUAL
        event = MockEvent(
            bytes(body) if body else None,
            str(content_type, "latin-1"),
            dict(headers),
            method,
            path or self._path_of(operation) if self._is_graph else operation,
            str(request_id, "ascii", "replace"),
            _TRIGGER,
        )
        event.url = path or operation
        if budget_ms and self._is_graph:
            event.deadline_s = time.monotonic() + budget_ms / 1000  # type: ignore[attr-defined]  # copies keep it
        if query:
            event.fields = _fields_of(bytes(query))
        return event

    def _path_of(self, operation: str) -> str:
        if not operation:
            return ""
        return f"/{operation}" if "/" in operation else f"{self._prefix}/{operation}"


def _headers_of(block: bytes) -> dict[str, str]:
    """Return the client's headers, whose names and values alternate by line."""
    lines = block.decode("utf-8", "replace").split("\n")
    return dict(zip(lines[::2], lines[1::2], strict=False))


def _fields_of(query: bytes) -> dict[str, Any]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))
