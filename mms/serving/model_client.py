"""Requests of the server itself to its models: those of graphs to their nodes, of routers, and of models' code."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mms.core import Request
from mms.errors import ModelNotFound, ServerError, UnexpectedError
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.core.request import Buffer


class HostedModels(Protocol):
    """The models of the server as they may ask each other; the model host."""

    def submit_nested(self, request: Request) -> None:
        """Take a request that is part of another one, also while a drain waits for that. Raises as `submit`."""

    def cancel(self, request: Request) -> None: ...

    def has_model(self, name: str, version: str | None = None) -> bool: ...

    def is_ready(self, name: str, version: str | None = None) -> bool: ...

    def interface_of(self, name: str) -> str: ...

    def version_of(self, name: str) -> str | None: ...


class RequestTaker(Protocol):
    """A model that takes requests itself."""

    def submit(self, request: Request) -> None: ...

    def cancel(self, request: Request) -> None: ...


class ModelAnswer(NamedTuple):
    """The answer of a model, which may be an error of its code. `headers`: finished lines."""

    status: int
    phrase: bytes
    headers: bytes
    body: Buffer

    @property
    def is_success(self) -> bool:
        return self.status < 400

    @property
    def text(self) -> str:
        return bytes(self.body).decode("utf-8", "replace")


class PendingAnswer:
    """Takes the answer of a request."""

    __slots__ = ("_id", "done")

    def __init__(self, id: bytes) -> None:
        self._id = id
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
            self.done.set_exception(UnexpectedError(self._id))


class ModelClient:
    """Asks the models of this server. Called on the event loop."""

    def __init__(self, models: HostedModels) -> None:
        self.models = models

    def __repr__(self) -> str:
        return f"<ModelClient of {self.models!r}>"

    def is_ready(self, name: str, version: str | None = None) -> bool:
        """Return whether a model is there and can take requests."""
        try:
            return self.models.is_ready(name, version)
        except ModelNotFound:
            return False

    async def ask(
        self,
        name: str,
        version: str | None,
        *,
        id: bytes,
        headers: bytes,
        content_type: bytes,
        body: Buffer,
        query: bytes = b"",
        passes_query: bool = False,
        deadline: float = 0.0,
        operation: ModelOperation | None = None,
        taker: RequestTaker | None = None,
    ) -> ModelAnswer:
        """Return the answer of a model. A caller that is cancelled has its request cancelled, too.

        The arguments are those of `Request`. `taker`: the model, where it is not registered yet.
        Raises ModelNotFound where there is no such model, and the error by which the server answers in its place.
        """
        pending = PendingAnswer(id)
        request = Request(
            id=id,
            name=name,
            version=version,
            passes_query=passes_query,
            content_type=content_type,
            query=query,
            headers=headers,
            body=body,
            reply=pending,
            received_at=time.monotonic(),
            deadline=deadline,
            operation=operation,
        )
        if taker is None:
            self.models.submit_nested(request)
        else:
            taker.submit(request)
        try:
            return await pending.done
        except asyncio.CancelledError:
            (self.models if taker is None else taker).cancel(request)
            raise
