"""Seldon components served in the tests' own process, item by item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mms.interfaces.seldon.load import ComponentLoad
from mms.interfaces.seldon.worker.interface import open_component
from mms.interfaces.seldon.worker.items import SeldonItems
from mms.wire import GraphNode, ModelOperation
from mms.wire.operation import NO_NODE
from mms.worker.requests.answer_head import reason_phrase

JSON = b"application/json"
PROTO = b"application/x-protobuf"
ID = b"0123456789abcdef0123456789abcdef0123"
MESSAGE = {"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}}


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The members of an error's status."""
        found = self.json()["status"]
        assert sorted(found) == ["code", "info", "reason", "status"]
        assert (found["code"], found["status"]) == (-1, 1)
        return found  # type: ignore[no-any-return]


class Served:
    """One component. `series` of a call are those since the last look."""

    def __init__(self, instance: Any, *, row_batching: bool = False, **options: Any) -> None:
        self.component = open_component(instance, ComponentLoad(**options))
        self.items = SeldonItems(self.component, "m", joins_rows=row_batching)

    def send(self, *items: tuple[Any, ...]) -> list[Reply]:
        replies = []
        for index, result in enumerate(self.items.serve_items(list(items))):
            at, flags, status, phrase, headers, body = result
            assert (at, flags, phrase) == (index, 0, reason_phrase(status))
            lines = dict(line.split(": ") for line in headers.decode().splitlines())
            replies.append(Reply(status, lines, bytes(body)))
        return replies

    def ask(self, operation: str, content: Any = None, **members: Any) -> Reply:
        return self.send(item(operation, content, **members))[0]

    def predict(self, content: Any, **members: Any) -> Reply:
        return self.ask("predict", content, **members)

    def result(self, content: Any = MESSAGE, operation: str = "predict") -> Any:
        """The JSON of an answer of status 200."""
        reply = self.ask(operation, content)
        assert reply.status == 200, reply
        assert reply.headers == {"Content-Type": "application/json"}
        assert reply.body.endswith(b"\n")
        return reply.json()

    def proto(self, operation: str, message: Any) -> Any:
        """The SeldonMessage that answers a protobuf message."""
        from mms.interfaces.seldon.codec.messages import SeldonMessage

        body = message.SerializeToString()
        reply = self.send(item(operation, body, content_type=PROTO))[0]
        assert reply.status == 200, reply
        assert reply.headers == {"Content-Type": "application/x-protobuf"}
        return SeldonMessage.FromString(reply.body)

    def series(self) -> list[dict[str, Any]]:
        return self.items.take_series()


def item(
    operation: str | None,
    content: Any = None,
    *,
    content_type: bytes = JSON,
    query: bytes = b"",
    node: GraphNode = NO_NODE,
    headers: str = "Host\nh",
) -> tuple[Any, ...]:
    """An item of a batch. `content`: bytes as they are, anything else as JSON, None for no body."""
    asked = None if operation is None else ModelOperation(operation, node=node)
    body = b"" if content is None else content
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return ID, 1, content_type, query, bytearray(headers.encode()), 0, bytearray(body), asked
