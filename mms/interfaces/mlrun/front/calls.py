"""How a router of MLRun's contract asks its models: as requests to models of this server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from mms.bodies.json_text import from_json
from mms.core import Request
from mms.errors import ModelNotFound, ServerError, ServiceUnavailable

if TYPE_CHECKING:
    from mms.core.request import Buffer

_EVENT_ID: Final = b"mlrun-event-id"
#: Describe a body that is not the one that is sent on.
_OF_BODY: Final = frozenset((b"content-length", b"transfer-encoding", b"expect"))


class RoutedModels(Protocol):
    """The models of the server; the model host."""

    def submit_call(self, request: Request) -> None: ...

    def cancel(self, request: Request) -> None: ...

    def is_ready(self, name: str, version: str | None = None) -> bool: ...


class ModelAnswer(NamedTuple):
    """`headers`: finished lines."""

    status: int
    phrase: bytes
    headers: bytes
    body: Buffer

    @property
    def is_success(self) -> bool:
        return self.status < 400

    def value(self) -> Any:
        """What its JSON says. Raises ValueError."""
        return from_json(bytes(self.body))

    def text(self) -> str:
        return bytes(self.body).decode("utf-8", "replace")


class Asked:
    """A request to a router, as far as its models are to see it."""

    __slots__ = ("content_type", "event_id", "headers", "method", "operation", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.operation, self.method = "", "POST"
        self.event_id = request.id.decode("ascii", "replace")
        self.content_type = request.content_type.decode("latin-1")
        #: Of the client, as models get them: name and value in turn.
        self.headers: list[bytes] = []
        parts = request.headers.split(b"\n")
        for name, value in zip(parts[::2], parts[1::2], strict=False):
            if name.startswith(b":"):
                if name == b":operation":
                    self.operation = value.decode("utf-8", "replace")
                elif name == b":method":
                    self.method = value.decode("latin-1")
                continue
            lowered = name.lower()
            if lowered == _EVENT_ID and value:
                self.event_id = value.decode("utf-8", "replace")
            if lowered not in _OF_BODY:
                self.headers += (name, value)

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.operation or '(nothing)'}>"


class _Reply:
    """Takes the answer of a model's request."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done: asyncio.Future[ModelAnswer] = asyncio.get_running_loop().create_future()

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        if not self.done.done():
            self.done.set_result(ModelAnswer(status, phrase, headers, body))

    def fail(self, request: Request, error: ServerError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def give_up(self) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the failure of the request could not be told"))


class RouteCalls:
    """Asks the models of one router. `targets`: key -> (name, version) of each."""

    def __init__(self, models: RoutedModels, targets: Mapping[str, tuple[str, str | None]]) -> None:
        self._models = models
        self.targets = dict(targets)

    def __repr__(self) -> str:
        return f"<RouteCalls {', '.join(self.targets)}>"

    @property
    def keys(self) -> list[str]:
        return list(self.targets)

    def is_ready(self, key: str) -> bool:
        name, version = self.targets[key]
        try:
            return self._models.is_ready(name, version)
        except ModelNotFound:
            return False

    async def ask(
        self, key: str, asked: Asked, operation: str, *, method: str = "", has_body: bool = True
    ) -> ModelAnswer:
        """A model's answer. Raises the errors of the front.

        `method`: in place of the client's.
        """
        client = asked.request
        name, version = self.targets[key]
        reply = _Reply()
        # A line feed would end the value.
        operation = operation.replace("\n", " ")
        pseudo = f":operation\n{operation}\n:method\n{method or asked.method}".encode()
        request = Request(
            id=client.id,
            name=name,
            version=version,
            passes_query=client.passes_query,
            content_type=client.content_type if has_body else b"",
            query=client.query,
            headers=b"\n".join((pseudo, *asked.headers)),
            body=client.body if has_body else b"",
            reply=reply,
            received_at=time.monotonic(),
            deadline=client.deadline,
        )
        try:
            self._models.submit_call(request)
        except ModelNotFound:
            raise ServiceUnavailable(f"The model of route {key} is gone.") from None
        try:
            return await reply.done
        except asyncio.CancelledError:
            self._models.cancel(request)
            raise
