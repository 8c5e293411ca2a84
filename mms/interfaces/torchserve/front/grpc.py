"""TorchServe's gRPC: models answer predictions; management is that of REST, with the same texts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mms import faults
from mms.bodies.protobuf_wire import field
from mms.core import Request, new_request_id
from mms.core.request import Buffer, Reply
from mms.core.streams.open_stream import OpenStream
from mms.errors import (
    PERMISSION_DENIED,
    BadRequest,
    MethodNotAllowed,
    ServerError,
    UnexpectedError,
)
from mms.grpc.call import Call, Method
from mms.grpc.services import InterfaceServices
from mms.grpc.status import OK, Status
from mms.http.answers import render_json
from mms.http.parameters import Parameters
from mms.interfaces.torchserve.front.management import Management
from mms.interfaces.torchserve.front.messages import (
    CLASSES,
    INFERENCE,
    MANAGEMENT,
    POOL,
    read_message,
)
from mms.interfaces.torchserve.front.open_inference import OpenInferenceService
from mms.interfaces.torchserve.front.prediction_form import form_of
from mms.interfaces.torchserve.front.prediction_stream import PredictionReply, PredictionStream
from mms.security import Role
from mms.text.brief import brief
from mms.wire.streams import cost_of

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

_HEALTHY: Final = "Healthy"
#: In a prediction's `PredictionResponse`.
_PREDICTION_TAG: Final = 1 << 3 | 2


class TorchServeServices(InterfaceServices):
    """The services of inference."""

    def __init__(self, settings: Settings, host: ModelHost) -> None:
        self._settings = settings
        self._host = host
        self._open_inference = OpenInferenceService(host)

    @classmethod
    def of(cls, settings: Settings, host: ModelHost) -> TorchServeServices:
        return cls(settings, host)

    def __repr__(self) -> str:
        return f"<TorchServeServices of {self._host!r}>"

    def management(self) -> InterfaceServices:
        return ManagementService(self._settings, self._host)

    def files(self) -> list[tuple[Any, list[str]]]:
        return [(POOL, [INFERENCE]), *self._open_inference.files()]

    def methods(self) -> Iterator[Method]:
        yield from self._open_inference.methods()
        path = f"/{INFERENCE}/".encode()
        yield Method(path + b"Ping", begin=self._ping, roles=())
        yield Method(path + b"Predictions", begin=self._predict)
        yield Method(path + b"StreamPredictions", begin=self._predict_in_parts)
        open_stream = partial(
            PredictionStream,
            submit=self._submit_message,
            cancel=self._host.cancel,
            start_header=self._settings.sequence_start_header,
        )
        yield Method(path + b"StreamPredictions2", open=open_stream)

    def _ping(self, call: Call, body: Buffer) -> None:
        status = _HEALTHY if self._host.ping() == _HEALTHY else "Unhealthy"
        health = render_json({"status": status}).decode().rstrip("\n")
        call.reply(CLASSES["TorchServeHealthResponse"](health=health).SerializeToString())

    def _predict(self, call: Call, body: Buffer) -> None:
        self._ask(call, body, _Reply(call))

    def _predict_in_parts(self, call: Call, body: Buffer) -> None:
        """Answer with a message for each part; a model that does not stream has one."""
        self._ask(call, body, _PartsReply(call))

    def _ask(self, call: Call, body: Buffer, reply: Reply) -> None:
        request = self._request(call, read_message("PredictionsRequest", body), reply)
        call.model, call.version, call.request = request.name, request.version or "", request
        call.on_cancel = partial(self._host.cancel, request)
        self._host.submit(request)

    def _submit_message(self, call: Call, asked: Any, reply: PredictionReply) -> Request:
        """Have a model answer a message of a stream. Raises ServerError."""
        request = self._request(call, asked, reply)
        request.id, request.received_at = new_request_id(), reply.received_at
        reply.request = request
        self._host.submit(request)
        return request

    def _request(self, call: Call, asked: Any, reply: Reply) -> Request:
        """Return what a message asks of a model. Raises ServerError."""
        if not asked.model_name:
            raise BadRequest("Parameter model_name is required.")
        version = asked.model_version or None
        self._host.check_model(asked.model_name, version)
        content_type, form = form_of(dict(asked.input))
        return Request(
            id=call.id,
            name=asked.model_name,
            version=version,
            passes_query=False,
            content_type=content_type,
            query=b"",
            headers=call.head.metadata + self._sequence_lines(asked, bool(call.head.metadata)),
            body=form,
            reply=reply,
            received_at=call.received_at,
            deadline=call.deadline,
            priority=call.head.priority,
        )

    def _sequence_lines(self, asked: Any, is_behind_others: bool) -> bytes:
        """Return the headers of a sequence that a message names. Raises BadRequest."""
        settings = self._settings
        id = asked.sequence_id
        if not (id.isprintable() and id.isascii()):
            raise BadRequest(
                f"sequence_id is {brief(id)}; it must have printable characters of ASCII alone."
            )
        pairs = [(settings.sequence_id_header, id)] if id else []
        pairs += [
            (name, "true")
            for name in (settings.sequence_start_header, settings.sequence_end_header)
            if asked.input.get(name, b"").strip().lower() == b"true"
        ]
        lines = "\n".join(line for pair in pairs for line in pair).encode("latin-1")
        return b"\n" + lines if lines and is_behind_others else lines


class ManagementService(InterfaceServices):
    """The service of management."""

    def __init__(self, settings: Settings, host: ModelHost) -> None:
        self._host = host
        self._management = Management(settings, host)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, settings: Settings, host: ModelHost) -> ManagementService:
        return cls(settings, host)

    def __repr__(self) -> str:
        return f"<ManagementService, {len(self._tasks)} calls under way>"

    def files(self) -> list[tuple[Any, list[str]]]:
        return [(POOL, [MANAGEMENT])]

    def methods(self) -> Iterator[Method]:
        answers: dict[str, Callable[[Call, Any], Awaitable[str]]] = {
            "DescribeModel": self._describe,
            "ListModels": self._list,
            "RegisterModel": self._register,
            "ScaleWorker": self._scale,
            "SetDefault": self._set_default,
            "UnregisterModel": self._unregister,
        }
        for name, answer in answers.items():
            path = f"/{MANAGEMENT}/{name}".encode()
            begin = partial(self._begin, f"{name}Request", answer)
            yield Method(path, begin=begin, roles=(Role.MANAGEMENT,))

    def _begin(
        self, message: str, answer: Callable[[Call, Any], Awaitable[str]], call: Call, body: Buffer
    ) -> None:
        task = asyncio.get_running_loop().create_task(
            _answered(call, answer(call, read_message(message, body)))
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        call.on_cancel = partial(_stop, task)

    async def _describe(self, call: Call, asked: Any) -> str:
        name, version = asked.model_name, asked.model_version or None
        if version == "all":
            return _text(await self._management.describe_all(name))
        if not asked.customized:
            return _text(await self._management.describe(name, version))
        found = await self._management.describe_customized(
            name, version, id=call.id, headers=call.head.metadata
        )
        return _text(found)

    async def _list(self, call: Call, asked: Any) -> str:
        # No limit is none, which TorchServe takes for one of nothing.
        return _text(self._management.models(asked.limit or -1, asked.next_page_token))

    async def _register(self, call: Call, asked: Any) -> str:
        given = _given(asked)
        given["synchronous"] = "true" if asked.synchronous else "false"
        outcome = await self._managed(self._management.register(Parameters(given), _overlook))
        return outcome

    async def _scale(self, call: Call, asked: Any) -> str:
        given = _given(asked)
        given.pop("model_name", None)
        version = given.pop("model_version", None)
        given["synchronous"] = "true" if asked.synchronous else "false"
        scaling = self._management.scale(asked.model_name, version, Parameters(given), _overlook)
        return await self._managed(scaling)

    async def _set_default(self, call: Call, asked: Any) -> str:
        setting = self._management.set_default(asked.model_name, asked.model_version)
        return await self._managed(setting)

    async def _unregister(self, call: Call, asked: Any) -> str:
        if not asked.model_name:
            raise BadRequest("Parameter model_name is required.")
        removing = self._management.unregister(asked.model_name, asked.model_version or None)
        return await self._managed(removing)

    async def _managed(self, operation: Awaitable[Any]) -> str:
        try:
            return str((await operation).text)
        except MethodNotAllowed:
            raise ModelApiDisabled from None


class ModelApiDisabled(ServerError):
    """Clients may not register and unregister models here."""

    status = 403
    type_name = "ModelException"
    grpc_code = PERMISSION_DENIED

    def __init__(self) -> None:
        super().__init__("Model API disabled")


class _Reply:
    """Takes the answer of a model for a call."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._call.reply(field(_PREDICTION_TAG, body), status)

    def fail(self, request: Request, error: ServerError) -> None:
        self._call.fail(error)

    def give_up(self) -> None:
        self._call.abort()


class _PartsReply(_Reply):
    """Takes the answer of a model in parts, too."""

    __slots__ = ()

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> _Parts:
        return _Parts(self._call, stream)


class _Parts(_Reply):
    """Takes the parts of an answer; a model is asked for more once its client has taken them."""

    __slots__ = ("_owed", "_stream")

    def __init__(self, call: Call, stream: OpenStream) -> None:
        super().__init__(call)
        self._stream = stream
        self._owed = 0
        call.on_taken = self._on_taken

    def chunk(self, request: Request, body: Buffer) -> None:
        self._owed += cost_of(body)
        self._call.send(field(_PREDICTION_TAG, body))
        self._on_taken()

    def _on_taken(self) -> None:
        """The client has taken some of what was sent."""
        if not self._call.outgoing:
            owed, self._owed = self._owed, 0
            self._stream.taken(owed)

    def abort(self) -> None:
        """End the connection of the call."""
        self._call.abort()

    def end(self, request: Request) -> None:
        self._call.finish(Status(OK, "", 200))


def _given(asked: Any) -> dict[str, Any]:
    """Return what a message says by the names of REST; what is 0 or empty is not said."""
    return {descriptor.name: value for descriptor, value in asked.ListFields()}


def _text(document: Any) -> str:
    return render_json(document).decode().rstrip("\n")


def _overlook(parameters: Parameters) -> None:
    """Messages have no unknown parameters."""


def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _answered(call: Call, answer: Awaitable[str]) -> None:
    try:
        call.reply(CLASSES["ManagementResponse"](msg=await answer).SerializeToString())
    except ServerError as error:
        call.fail(error)
    except Exception as error:
        faults.note("request", error, request_ids=(call.id,))
        call.fail(UnexpectedError(call.id))
