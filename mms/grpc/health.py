"""gRPC's health service, for probes: of the server by an empty name or that of a service, and of models by theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from mms import faults
from mms.bodies.protobuf_files import message_class, pool_of
from mms.core.request import Buffer
from mms.errors import UNAVAILABLE, UNIMPLEMENTED, BadRequest, ModelNotFound
from mms.grpc.call import Call, Method
from mms.grpc.status import OK, Status
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.serving import ModelHost

SERVICE: Final = "grpc.health.v1.Health"
_SERVING: Final = 1
_NOT_SERVING: Final = 2
_UNKNOWN: Final = 3
#: How often a client that watches is told what has changed, in seconds.
_LOOK_S: Final = 1.0


POOL: Any = pool_of(Path(__file__).with_name("health.binpb"))
_Request: Any = message_class(POOL, POOL.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest"))
_Response: Any = message_class(
    POOL, POOL.FindMessageTypeByName("grpc.health.v1.HealthCheckResponse")
)
_List: Any = message_class(POOL, POOL.FindMessageTypeByName("grpc.health.v1.HealthListResponse"))


class Health:
    """Answers whether the server, and each model, can take calls now. Anybody may ask, as with `/ping`."""

    def __init__(self, host: ModelHost, services: Collection[str]) -> None:
        """`services`: those of the server, besides this one."""
        self._host = host
        self._services = frozenset((SERVICE, *services))

    def __repr__(self) -> str:
        return f"<Health of {len(self._services)} services>"

    def files(self) -> list[tuple[Any, list[str]]]:
        """Return (descriptor pool, names of services) for reflection."""
        return [(POOL, [SERVICE])]

    def methods(self) -> Iterator[Method]:
        path = f"/{SERVICE}/".encode()
        yield Method(path + b"Check", begin=self._check, roles=())
        yield Method(path + b"List", begin=self._list)
        yield Method(path + b"Watch", open=lambda call: _Watching(self, call), roles=())

    def status_of(self, service: str) -> int:
        """Return the status of a service or model, `_UNKNOWN` for a name that is neither's."""
        if not service or service in self._services:
            return _NOT_SERVING if self._host.problems() else _SERVING
        try:
            return _NOT_SERVING if self._host.problems_of(service) else _SERVING
        except ModelNotFound:
            return _UNKNOWN

    def _check(self, call: Call, body: Buffer) -> None:
        service = _service_of(body)
        status = self.status_of(service)
        if status == _UNKNOWN:
            raise ModelNotFound(
                f"{brief(service)} is neither a service nor a model of this server."
            )
        call.reply(_Response(status=status).SerializeToString())

    def _list(self, call: Call, body: Buffer) -> None:
        answer = _List()
        for name in ("", *sorted(self._services), *(n for n, _ in self._host.list_models())):
            answer.statuses[name].status = self.status_of(name)
        call.reply(answer.SerializeToString())


class _Watching:
    """A client that is told a status, and again whenever it is another one."""

    def __init__(self, health: Health, call: Call) -> None:
        self._health = health
        self._call = call
        self._service: str | None = None
        self._told = -1
        self._timer: asyncio.TimerHandle | None = None
        call.on_cancel = self._close

    def message(self, body: Buffer) -> None:
        if self._service is not None:
            text = "This method takes one message; more came."
            self._call.finish(Status(UNIMPLEMENTED, text, 400))
            self._close()
            return
        self._service = _service_of(body)
        self._look()

    def half_closed(self) -> None:
        """The client has asked, and listens."""
        if self._service is None:
            self._call.finish(Status(OK, "", 200))

    @faults.ends_connection
    def _look(self) -> None:
        if self._call.is_ended or self._service is None:
            return
        status = self._health.status_of(self._service)
        # One that does not read is told what it is when it does.
        if status != self._told and not self._call.outgoing:
            self._told = status
            self._call.send(_Response(status=status).SerializeToString())
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def leave(self) -> None:
        self._close()
        if self._service is not None and self._told != _NOT_SERVING:
            self._call.send(_Response(status=_NOT_SERVING).SerializeToString())
        self._call.finish(Status(UNAVAILABLE, "The server is shutting down.", 503))

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        """End the connection of the call."""
        self._call.abort()


def _service_of(body: Buffer) -> str:
    """Return what a client asks for. Raises BadRequest."""
    try:
        return str(_Request.FromString(bytes(body)).service)
    except DecodeError as error:
        raise BadRequest(f"The message is not a HealthCheckRequest: {error}") from None
