"""What is asked (an event, as nuclio's triggers make them) and what may be answered (a response)."""

from __future__ import annotations

import os

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Kinds of triggers whose requests a client waits for.
HTTP_TRIGGERS = ("http", "")
#: Kinds whose events name their model in the body.
STREAM_TRIGGERS = (
    *("kafka", "kafka-cluster", "v3ioStream", "v3io-stream"),
    *("rabbit-mq", "rabbitMq"),
)


def new_id() -> str:
    """Return a random UUID of version 4, 32 hexadecimal digits."""
    number = bytearray(os.urandom(16))
    number[6] = number[6] & 0x0F | 0x40
    number[8] = number[8] & 0x3F | 0x80
    return number.hex()


class MockTrigger:
    """What an event came by: `http` or the kind of a stream."""

    def __init__(self, kind: str = "", name: str = "") -> None:
        self.kind = kind
        self.name = name

    def __repr__(self) -> str:
        return f"<MockTrigger {self.kind or 'of no kind'}>"


_NO_TRIGGER = MockTrigger()


class MockEvent:
    """A request to a model, a router or a graph, and what is known of the way that it came.

    Owned by the one who runs it: steps replace `body` and `path`, and hang on it what they like.
    """

    key: Any = ""
    #: What a step failed on, for the step that handles it: an exception, or with the engine `sync` {step: message}.
    error: Any = None
    terminated = False
    #: The step that failed, for handlers of errors.
    origin_state: str | None = None
    #: The topic, where a stream's event is routed by its body.
    stream_path: str | None = None
    url = ""
    shard_id = 0
    num_shards = 1
    type = ""
    type_version = ""
    version = ""
    topic = ""
    last_in_batch = False

    def __init__(
        self,
        body: Any = None,
        content_type: str | None = None,
        headers: dict[str, Any] | None = None,
        method: str | None = None,
        path: str | None = None,
        event_id: str | None = None,
        trigger: MockTrigger | None = None,
        offset: int | None = None,
        time: Any = None,
    ) -> None:
        self.id = event_id or new_id()
        self.body = body
        self.content_type = content_type
        self.headers: dict[str, Any] = {} if headers is None else headers
        self.method = method
        self.path = path or "/"
        self.trigger = _NO_TRIGGER if trigger is None else trigger
        self.offset = offset or 0
        self.time = time

    def __repr__(self) -> str:
        return f"<MockEvent {self.id} {self.method or ''} {self.path}>"

    @property
    def fields(self) -> dict[str, Any]:
        """The parameters of the query or form."""
        found: dict[str, Any] = self.__dict__.setdefault("_fields", {})
        return found

    @fields.setter
    def fields(self, fields: dict[str, Any]) -> None:
        self.__dict__["_fields"] = fields

    @property
    def timestamp(self) -> Any:
        """When it came: a datetime in UTC."""
        found = self.__dict__.get("_timestamp")
        if found is None:
            import datetime

            found = self.time
            if not isinstance(found, datetime.datetime):
                found = datetime.datetime.now(datetime.timezone.utc)
            self.__dict__["_timestamp"] = found
        return found

    @timestamp.setter
    def timestamp(self, timestamp: Any) -> None:
        self.__dict__["_timestamp"] = timestamp

    @property
    def size(self) -> int:
        """Of the body, where it is bytes or text."""
        return len(self.body) if isinstance(self.body, str | bytes | bytearray) else 0

    def get_header(self, name: str, default: Any = None) -> Any:
        """Return the value of a header, however its name is written."""
        return header_of(self, name, default)


def header_of(event: Any, name: str, default: Any = None) -> Any:
    """Return the value of a header of any event, however its name is written; `name` in any case."""
    headers = event.headers
    if not headers:
        return default
    found = headers.get(name)
    if found is not None:
        return found
    length = len(name)
    wanted = name.lower()
    for key, value in headers.items():
        if len(key) == length and isinstance(key, str) and key.lower() == wanted:
            return value
    return default


class Response:
    """An answer with a status, a content type and headers of its own."""

    #: The exception that it tells of, for those who log it.
    error: BaseException | None = None

    def __init__(
        self,
        headers: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str | None = None,
        status_code: int = 200,
    ) -> None:
        self.headers: dict[str, Any] = headers or {}
        self.body = body
        self.status_code = status_code
        self.content_type = content_type or "text/plain"

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {self.content_type}>"

    def __str__(self) -> str:
        return f"({self.status_code}) {self.body!r}"
