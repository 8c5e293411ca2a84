"""`inference.GRPCInferenceService`: models answer calls, one by one and in streams; the front answers all else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from mms import faults
from mms.core import Request, new_request_id
from mms.core.request import Buffer, Reply
from mms.core.request_options import add_options
from mms.errors import (
    BadRequest,
    ModelNotFound,
    NotImplementedHere,
    ServerError,
    UnexpectedError,
)
from mms.grpc.call import Call, Method, Receiver
from mms.grpc.services import InterfaceServices
from mms.interfaces.oip.front.messages import CLASSES, POOL, SERVICE
from mms.interfaces.oip.front.metadata import (
    check_takes_tensors,
    model_config,
    model_metadata,
    server_metadata,
)
from mms.interfaces.oip.front.repository import ModelRepository
from mms.interfaces.oip.front.requests.infer_head import InferHead, InferHeads
from mms.interfaces.oip.front.shared_memory import SharedMemory, shared_memory_of
from mms.interfaces.oip.front.statistics import model_statistics
from mms.interfaces.oip.front.streams.infer_stream import InferStream, StreamReply
from mms.interfaces.oip.front.streams.only_part import OnlyPart
from mms.interfaces.oip.settings import OipSettings
from mms.security import INFERENCE, Role
from mms.text.brief import brief
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream
    from mms.serving import ModelHost
    from mms.settings import Settings

_CONTENT_TYPE: Final = b"application/grpc"
_INFER: Final = ModelOperation("infer", protocol="oip-grpc")
_INFER_PARTS: Final = _INFER._replace(takes_parts=True)
#: What probes ask, and what every key may; it tells which models there are.
_OPEN: Final = ("ServerLive", "ServerReady")
_OF_ANY_KEY: Final = ("ModelReady",)
_LISTING: Final = ("RepositoryIndex",)
_MANAGING: Final = ("RepositoryModelLoad", "RepositoryModelUnload")
_SEVERAL: Final = "The model has several answers to the request; ModelStreamInfer takes them."
#: What a client would change of the server, or have it read.
_REFUSED: Final = {
    "TraceSetting": "trace settings",
    "LogSettings": "log settings",
    "CudaSharedMemory": "CUDA shared memory",
}

#: Answers a message by another one.
_Answer = Callable[[Any], Awaitable[Any]]


class OipServices(InterfaceServices):
    """Answers the calls of clients of the Open Inference Protocol."""

    def __init__(self, host: ModelHost, repository: ModelRepository, memory: SharedMemory) -> None:
        self._host = host
        self._memory = memory
        self._repository = repository
        self._heads = InferHeads()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[str, _Answer] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._repository_load,
            "RepositoryModelUnload": self._repository_unload,
            "SystemSharedMemoryStatus": self._memory_status,
            "SystemSharedMemoryRegister": self._register_memory,
            "SystemSharedMemoryUnregister": self._unregister_memory,
        }

    @classmethod
    def of(cls, settings: Settings, host: ModelHost) -> OipServices:
        assert settings.grpc_address is not None
        is_on = settings.of(OipSettings).oip_repository
        repository = ModelRepository(host, settings.grpc_address, is_on=is_on)
        return cls(host, repository, shared_memory_of(settings, host))

    def __repr__(self) -> str:
        return f"<OipServices of {self._host!r}, {len(self._tasks)} calls under way>"

    def files(self) -> list[tuple[Any, list[str]]]:
        return [(POOL, [SERVICE])]

    def methods(self) -> Iterator[Method]:
        for method in POOL.FindServiceByName(SERVICE).methods:
            name = method.name
            path = f"/{SERVICE}/{name}".encode()
            if name == "ModelInfer":
                yield Method(path, begin=self._infer)
            elif name == "ModelStreamInfer":
                yield Method(path, open=self._open_stream)
            elif name in self._answers:
                request = CLASSES[method.input_type.name]
                begin = partial(self._begin, request, self._answers[name])
                yield Method(path, begin=begin, roles=_roles_of(name))
            else:
                yield Method(path, begin=partial(_refuse, name))

    # Inference

    def _infer(self, call: Call, body: Buffer) -> None:
        head = self._heads.read(body)
        request = self._request(call, body, head, call.id, _Reply(call), call.received_at)
        call.model, call.version, call.request = request.name, request.version or "", request
        call.on_cancel = lambda: self._host.cancel(request)
        self._host.submit(request)

    def _open_stream(self, call: Call) -> Receiver:
        return InferStream(call, self._submit_of_stream, self._host.cancel)

    def _submit_of_stream(
        self, call: Call, body: Buffer, head: InferHead, reply: StreamReply
    ) -> Request:
        request = self._request(
            *(call, body, head, new_request_id(), reply, reply.received_at), _INFER_PARTS
        )
        reply.model, reply.version, reply.request = request.name, request.version or "", request
        self._host.submit(request)
        return request

    def _request(
        self,
        call: Call,
        body: Buffer,
        head: InferHead,
        id: bytes,
        reply: Reply,
        received_at: float,
        operation: ModelOperation = _INFER,
    ) -> Request:
        """Return the request of a message. Raises ModelNotFound and BadRequest."""
        version = head.version or None
        check_takes_tensors(self._host.registry.get(head.name, version))
        request = Request(
            id=id,
            name=head.name,
            version=version,
            passes_query=False,
            content_type=_CONTENT_TYPE,
            query=b"",
            headers=call.head.metadata,
            body=body,
            reply=reply,
            received_at=received_at,
            deadline=call.deadline,
            priority=call.head.priority,
            operation=self._memory.operation(operation),
        )
        add_options(request, head.options)
        return request

    # What the front answers

    def _begin(self, request_class: Any, answer: _Answer, call: Call, body: Buffer) -> None:
        try:
            request = request_class.FromString(bytes(body))
        except DecodeError as error:
            name = request_class.DESCRIPTOR.name
            raise BadRequest(f"The message is not a {name}: {error}") from None
        task = asyncio.get_running_loop().create_task(_answered(call, answer(request)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        call.on_cancel = partial(_stop, task)

    async def _server_live(self, request: Any) -> Any:
        return CLASSES["ServerLiveResponse"](live=True)

    async def _server_ready(self, request: Any) -> Any:
        return CLASSES["ServerReadyResponse"](ready=not self._host.problems())

    async def _model_ready(self, request: Any) -> Any:
        # Clients take an error for one of the call, also where there is no such model.
        try:
            problems = self._host.problems_of(request.name, request.version or None)
        except ModelNotFound:
            problems = ["It is not there."]
        return CLASSES["ModelReadyResponse"](ready=not problems)

    async def _server_metadata(self, request: Any) -> Any:
        document = server_metadata(
            has_repository=self._repository.is_on, has_shared_memory=self._memory.is_on
        )
        return _message("ServerMetadataResponse", document)

    async def _model_metadata(self, request: Any) -> Any:
        document = await model_metadata(self._host, request.name, request.version or None)
        return _message("ModelMetadataResponse", document)

    async def _model_config(self, request: Any) -> Any:
        config = await model_config(self._host, request.name, request.version or None)
        return _message("ModelConfigResponse", {"config": config})

    async def _model_statistics(self, request: Any) -> Any:
        document = model_statistics(self._host, request.name or None, request.version or None)
        return _message("ModelStatisticsResponse", document)

    async def _repository_index(self, request: Any) -> Any:
        _check_repository(request)
        rows = await self._repository.index(is_ready=request.ready)
        answer = CLASSES["RepositoryIndexResponse"]()
        for row in rows:
            answer.models.add(
                name=row.name, version=row.version or "", state=row.state, reason=row.reason
            )
        return answer

    async def _repository_load(self, request: Any) -> Any:
        _check_repository(request)
        loading = self._repository.load(request.model_name, _parameters(request))
        await self._host.operations.whole(loading)
        return CLASSES["RepositoryModelLoadResponse"]()

    async def _repository_unload(self, request: Any) -> Any:
        _check_repository(request)
        unloading = self._repository.unload(request.model_name, _parameters(request))
        await self._host.operations.whole(unloading)
        return CLASSES["RepositoryModelUnloadResponse"]()

    async def _memory_status(self, request: Any) -> Any:
        regions = self._memory.status(request.name)
        document = {"regions": {region["name"]: region for region in regions}}
        return _message("SystemSharedMemoryStatusResponse", document)

    async def _register_memory(self, request: Any) -> Any:
        self._memory.register(request.name, request.key, request.offset, request.byte_size)
        return CLASSES["SystemSharedMemoryRegisterResponse"]()

    async def _unregister_memory(self, request: Any) -> Any:
        self._memory.unregister(request.name)
        return CLASSES["SystemSharedMemoryUnregisterResponse"]()


class _Reply:
    """Takes the answer of a model for a call."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._call.reply(body, status)

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> OnlyPart:
        return OnlyPart(self, (status, phrase, headers), stream, _SEVERAL)

    def fail(self, request: Request, error: ServerError) -> None:
        self._call.fail(error)

    def give_up(self) -> None:
        self._call.abort()


def _roles_of(name: str) -> tuple[Role, ...]:
    if name in _OPEN:
        return ()
    if name in _OF_ANY_KEY:
        return tuple(Role)
    if name in _MANAGING:
        return (Role.MANAGEMENT,)
    return (*INFERENCE, Role.MANAGEMENT) if name in _LISTING else INFERENCE


def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _answered(call: Call, answer: Awaitable[Any]) -> None:
    try:
        message = await answer
        call.reply(message.SerializeToString())
    except ServerError as error:
        call.fail(error)
    except Exception as error:
        faults.note("request", error, request_ids=(call.id,))
        call.fail(UnexpectedError(call.id))


def _refuse(name: str, call: Call, body: Buffer) -> None:
    what = next(text for begin, text in _REFUSED.items() if name.startswith(begin))
    raise NotImplementedHere(f"This server does not have the {what} of the protocol.")


def _message(name: str, document: dict[str, Any]) -> Any:
    return json_format.ParseDict(document, CLASSES[name]())


def _check_repository(request: Any) -> None:
    if request.repository_name:
        raise BadRequest(
            f"There is one repository, without a name; repository_name is {brief(request.repository_name)}."
        )


def _parameters(request: Any) -> dict[str, Any]:
    """Return the parameters of a load or unload; None for one without a value."""
    found: dict[str, Any] = {}
    for name, parameter in request.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        found[name] = None if kind is None else getattr(parameter, kind)
    return found
