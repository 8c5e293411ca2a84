"""How a router of MLRun's contract asks its models: as requests to models of this server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mms.core import Request
from mms.errors import ModelNotFound, ServiceUnavailable
from mms.serving.model_client import ModelAnswer, ModelClient
from mms.wire import ModelOperation

_USUAL: Final = ModelOperation()
_EVENT_ID: Final = b"mlrun-event-id"
#: Describe a body that is not the one that is sent on.
_OF_BODY: Final = frozenset((b"content-length", b"transfer-encoding", b"expect"))


class RoutedRequest:
    """A request to a router, as far as its models are to see it."""

    __slots__ = ("content_type", "event_id", "headers", "method", "operation", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        operation = request.operation or _USUAL
        self.operation, self.method = operation.name, operation.method
        self.event_id = request.id.decode("ascii", "replace")
        self.content_type = request.content_type.decode("latin-1")
        #: Of the client, as models get them: name and value in turn.
        self.headers: list[bytes] = []
        parts = request.headers.split(b"\n")
        for name, value in zip(parts[::2], parts[1::2], strict=False):
            lowered = name.lower()
            if lowered == _EVENT_ID and value:
                self.event_id = value.decode("utf-8", "replace")
            if lowered not in _OF_BODY:
                self.headers += (name, value)

    def __repr__(self) -> str:
        return f"<RoutedRequest {self.method} {self.operation or '(nothing)'}>"


class RouteCalls:
    """Asks the models of one router. `targets`: key -> (name, version) of each."""

    def __init__(self, client: ModelClient, targets: Mapping[str, tuple[str, str | None]]) -> None:
        self._client = client
        self.targets = dict(targets)

    def __repr__(self) -> str:
        return f"<RouteCalls {', '.join(self.targets)}>"

    @property
    def keys(self) -> list[str]:
        return list(self.targets)

    def is_ready(self, key: str) -> bool:
        return self._client.is_ready(*self.targets[key])

    async def ask(
        self,
        key: str,
        asked: RoutedRequest,
        operation: str,
        *,
        method: str = "",
        has_body: bool = True,
    ) -> ModelAnswer:
        """Return a model's answer. Raises the errors of the front.

        `method`: in place of the client's.
        """
        client = asked.request
        name, version = self.targets[key]
        try:
            return await self._client.ask(
                name,
                version,
                id=client.id,
                headers=b"\n".join(asked.headers),
                content_type=client.content_type if has_body else b"",
                body=client.body if has_body else b"",
                query=client.query,
                passes_query=client.passes_query,
                deadline=client.deadline,
                operation=ModelOperation(operation, method or asked.method),
            )
        except ModelNotFound:
            raise ServiceUnavailable(f"The model of route {key} is gone.") from None
