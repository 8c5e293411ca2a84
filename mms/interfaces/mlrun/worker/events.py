"""Items of a batch as MLRun's classes read them: events."""

from __future__ import annotations

import time
from typing import Any

from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger
from mms.wire import Item

#: Heads that are remembered; clients mostly send the same few.
_MAX_REMEMBERED = 256

_TRIGGER = MockTrigger("http", "http")
_Head = tuple[str, str, str, dict[str, str]]


class EventReader:
    """Reads items. The front's pseudo headers say which operation is asked, and by which method."""

    def __init__(self, *, is_graph: bool = False, prefix: str = "") -> None:
        """`is_graph`: events have the whole path, and until when they are to be answered (`deadline_s`). Where the
        client's path names the graph itself, it is what follows that, an operation alone below `prefix`."""
        self._is_graph = is_graph
        self._prefix = prefix
        self._heads: dict[bytes, _Head] = {}

    def __repr__(self) -> str:
        return f"<EventReader, {len(self._heads)} heads>"

    def read(self, item: Item) -> MockEvent:
        """The event; its body as it came, None where there is none. Its path is the operation."""
        request_id, _, content_type, query, block, budget_ms, body = item
        block = bytes(block)
        head = self._heads.get(block)
        if head is None:
            head = _head_of(block)
            if len(self._heads) >= _MAX_REMEMBERED:
                self._heads.clear()
            self._heads[block] = head
        operation, method, path, headers = head
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


def _head_of(block: bytes) -> _Head:
    """(operation, method, whole path, the client's headers), whose names and values alternate by line."""
    operation = path = ""
    method = "POST"
    headers: dict[str, str] = {}
    lines = block.decode("utf-8", "replace").split("\n")
    for name, value in zip(lines[::2], lines[1::2], strict=False):
        if not name.startswith(":"):
            headers[name] = value
        elif name == ":operation":
            operation = value
        elif name == ":method":
            method = value
        elif name == ":path":
            path = value
    return operation, method, path, headers


def _fields_of(query: bytes) -> dict[str, Any]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))
