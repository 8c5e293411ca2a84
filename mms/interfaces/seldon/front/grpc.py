"""The services of Seldon's `prediction.proto`: which model a call asks, and what its answer is over gRPC."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mms.bodies.large_json import LOOP_BYTES
from mms.core import Request
from mms.core.request import Buffer
from mms.errors import UNIMPLEMENTED, ModelNotFound, ServerError
from mms.grpc.call import Call, Method
from mms.grpc.head import literal
from mms.grpc.services import InterfaceServices
from mms.grpc.status import UNKNOWN, Status, code_of_http
from mms.interfaces.seldon.codec import messages
from mms.interfaces.seldon.settings import SeldonSettings
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

_INTERFACE = "seldon"
_UNKNOWN_INTERFACE = "auto"
_CONTENT_TYPE = b"application/x-protobuf"
#: Metadata that name a model; `namespace` stands beside it and says nothing here.
_DEPLOYMENT = b"seldon"
_PUID = b"seldon-puid"
#: The service of Seldon's executor, whose answers name the prediction.
_EXTERNAL_SERVICE = "seldon.protos.Seldon"
_METADATA = "metadata"
_GRAPH_METADATA = "graph-metadata"


class SeldonServices(InterfaceServices):
    """Has models answer the calls of Seldon's clients."""

    def __init__(self, host: ModelHost, *, default_model: str | None, is_strict: bool) -> None:
        """`default_model`: who answers calls that name none. `is_strict`: statuses as Seldon's wrapper has them."""
        self._host = host
        self._default_model = default_model
        self._is_strict = is_strict
        self._known_default: str | None = None
        self._generation = -1

    @classmethod
    def of(cls, settings: Settings, host: ModelHost) -> SeldonServices:
        return cls(
            host,
            default_model=settings.default_model,
            is_strict=settings.of(SeldonSettings).seldon_strict,
        )

    def __repr__(self) -> str:
        return f"<SeldonServices, default model {self._default()}>"

    def files(self) -> list[tuple[Any, list[str]]]:
        """Return (descriptor pool, names of services) for reflection."""
        return [(messages.POOL, list(messages.SERVICES))]

    def methods(self) -> Iterator[Method]:
        for service, methods in messages.SERVICES.items():
            for name, method in methods.items():
                is_external = service == _EXTERNAL_SERVICE
                yield Method(
                    f"/{service}/{name}".encode(),
                    accept=self._accept_external if is_external else self._accept,
                    check=self._check,
                    begin=self._begin_of(method.operation),
                )

    def _accept(self, call: Call) -> None:
        """Set the call's model. Raises ModelNotFound and ServiceUnavailable."""
        call.model = self._model_of(call)

    def _accept_external(self, call: Call) -> None:
        call.initial = literal(_PUID, call.head.first.get(_PUID) or call.id)
        call.model = self._model_of(call)

    def _check(self, call: Call) -> None:
        """Check that the model has room. Raises ModelNotFound and ServiceUnavailable."""
        self._host.check_room(call.model)

    def _begin_of(self, operation: str) -> Callable[[Call, Buffer], None]:
        asked = ModelOperation(operation)
        is_metadata = operation in (_METADATA, _GRAPH_METADATA)

        def begin(call: Call, body: Buffer) -> None:
            name = call.model
            if is_metadata and not self._host.is_graph(name):
                if operation == _GRAPH_METADATA:
                    self._refuse_graph_metadata(call, name)
                    return
                # The name in the request is that of a graph's node; a component answers for itself.
                body = b""
            request = Request(
                id=call.id,
                name=name,
                version=None,
                passes_query=True,
                content_type=_CONTENT_TYPE,
                query=b"",
                headers=call.head.metadata,
                body=body,
                reply=_Answer(call, self._is_strict),
                received_at=call.received_at,
                deadline=call.deadline,
                priority=call.head.priority,
                operation=asked,
            )
            call.request = request
            call.on_cancel = lambda: self._host.cancel(request)
            self._host.submit(request)

        return begin

    def _refuse_graph_metadata(self, call: Call, name: str) -> None:
        code = UNKNOWN if self._is_strict else UNIMPLEMENTED
        call.finish(
            Status(code, f"Model {name} is not a graph, so it has no metadata of one.", 501)
        )

    def _model_of(self, call: Call) -> str:
        """Return the model of a call. Raises ModelNotFound and ServiceUnavailable."""
        named = call.head.first.get(_DEPLOYMENT)
        if named:
            wanted = named.decode("utf-8", "replace")
        else:
            default = self._default()
            if default is None:
                raise ModelNotFound(
                    "No model is named: send the metadata seldon: <model>, set default_model, "
                    "or register just one Seldon component."
                )
            wanted = default
        interface = self._host.interface_of(wanted)
        if interface == _UNKNOWN_INTERFACE:
            raise self._host.not_loaded(wanted)
        if interface != _INTERFACE:
            raise ModelNotFound(f"Model {wanted} is not a Seldon component.")
        return wanted

    def _default(self) -> str | None:
        """Return the default model, else the only component there is."""
        if self._default_model is not None:
            return self._default_model
        generation = self._host.registry.generation
        if generation != self._generation:
            names = self._host.names_of_interface(_INTERFACE)
            self._known_default = names[0] if len(names) == 1 else None
            self._generation = generation
        return self._known_default


class _Answer:
    """Takes the answer of a model for a call."""

    __slots__ = ("_call", "_is_strict")

    def __init__(self, call: Call, is_strict: bool) -> None:
        self._call = call
        self._is_strict = is_strict

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        if status < 400 or b"protobuf" in headers.lower():
            # A component may put an error into a message of its own; that is an answer, as with Seldon's wrapper.
            self._call.reply(body, status)
            return
        message = _message_of(body) or phrase.decode("latin-1")
        if self._is_strict:
            code, message = UNKNOWN, f"Exception calling application: {message}"
        else:
            code = code_of_http(status)
        self._call.finish(Status(code, message, status))

    def fail(self, request: Request, error: ServerError) -> None:
        self._call.fail(error)

    def give_up(self) -> None:
        self._call.abort()


def _message_of(body: Buffer) -> str:
    """Return what the JSON of an error says, by Seldon's form of it."""
    try:
        # A larger one is no error of a component's, and would hold up everybody.
        info = json.loads(bytes(body[:LOOP_BYTES]))["status"]["info"]
    except (ValueError, KeyError, TypeError):
        return bytes(body[:1000]).decode("utf-8", "replace").strip()
    return str(info)
