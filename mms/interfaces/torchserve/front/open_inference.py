"""TorchServe's service of the Open Inference Protocol: a handler gets a request as the JSON that HTTP brings.

`inference.GRPCInferenceService`, which other servers have too, gives handlers the tensors themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mms import faults
from mms.core.request import Buffer
from mms.errors import BadRequest, ServerError, UnexpectedError
from mms.grpc.call import Call, Method
from mms.grpc.services import InterfaceServices
from mms.interfaces.torchserve.context import VERSION
from mms.interfaces.torchserve.front.infer_document import document_of, response_of
from mms.interfaces.torchserve.front.messages import CLASSES, OPEN_INFERENCE, POOL, read_message
from mms.serving.model_client import ModelClient

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

#: Larger messages and answers are converted beside the event loop.
_LOOP_BYTES: Final = 16 * 1024
_JSON: Final = b"application/json"
_OPEN: Final = ("ServerLive", "ServerReady")


class OpenInferenceService(InterfaceServices):
    """Answers the calls of TorchServe's clients that send tensors."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host
        self._client = ModelClient(host)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, settings: Settings, host: ModelHost) -> OpenInferenceService:
        return cls(host)

    def __repr__(self) -> str:
        return f"<OpenInferenceService, {len(self._tasks)} calls under way>"

    def files(self) -> list[tuple[Any, list[str]]]:
        return [(POOL, [OPEN_INFERENCE])]

    def methods(self) -> Iterator[Method]:
        answers: dict[str, Callable[[Call, Any], Awaitable[bytes]]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model,
            "ModelInfer": self._infer,
        }
        for name, answer in answers.items():
            path = f"/{OPEN_INFERENCE}/{name}".encode()
            begin = partial(self._begin, f"{name}Request", answer)
            if name in _OPEN:
                yield Method(path, begin=begin, roles=())
            else:
                yield Method(path, begin=begin)

    def _begin(
        self,
        message: str,
        answer: Callable[[Call, Any], Awaitable[bytes]],
        call: Call,
        body: Buffer,
    ) -> None:
        asked = read_message(message, body)
        task = asyncio.get_running_loop().create_task(_answered(call, answer(call, asked)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        call.on_cancel = partial(_stop, task)

    async def _live(self, call: Call, asked: Any) -> bytes:
        return _message("ServerLiveResponse", live=True)

    async def _ready(self, call: Call, asked: Any) -> bytes:
        return _message("ServerReadyResponse", ready=self._host.ping() == "Healthy")

    async def _server(self, call: Call, asked: Any) -> bytes:
        return _message("ServerMetadataResponse", name="Torchserve", version=VERSION)

    async def _model_ready(self, call: Call, asked: Any) -> bytes:
        name, version = _named(asked.name, "name"), asked.version or None
        self._host.check_model(name, version)
        return _message("ModelReadyResponse", ready=self._host.is_ready(name, version))

    async def _model(self, call: Call, asked: Any) -> bytes:
        name = _named(asked.name, "name")
        self._host.check_model(name, asked.version or None)
        versions = [each.version or "1.0" for each in self._host.registry.versions(name)]
        return _message("ModelMetadataResponse", name=name, versions=versions)

    async def _infer(self, call: Call, asked: Any) -> bytes:
        name, version = _named(asked.model_name, "model_name"), asked.model_version or None
        self._host.check_model(name, version)
        call.model, call.version = name, version or ""
        is_large = asked.ByteSize() > _LOOP_BYTES
        body = await asyncio.to_thread(document_of, asked) if is_large else document_of(asked)
        answer = await self._client.ask(
            name,
            version,
            id=call.id,
            headers=call.head.metadata,
            content_type=_JSON,
            body=body,
            deadline=call.deadline,
        )
        if not answer.is_success:
            raise HandlerError(answer.status, answer.text)
        found = bytes(answer.body)
        if len(found) > _LOOP_BYTES:
            return await asyncio.to_thread(response_of, name, found)
        return response_of(name, found)


class HandlerError(ServerError):
    """The handler has answered with a status of an error."""

    type_name = "InternalServerException"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self._status = status

    @property
    def http_status(self) -> int:
        return self._status


def _named(name: str, parameter: str) -> str:
    if not name:
        raise BadRequest(f"Parameter {parameter} is required.")
    return name


def _message(kind: str, **members: Any) -> bytes:
    return bytes(CLASSES[kind](**members).SerializeToString())


def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _answered(call: Call, answer: Awaitable[bytes]) -> None:
    try:
        call.reply(await answer)
    except ServerError as error:
        call.fail(error)
    except Exception as error:
        faults.note("request", error, request_ids=(call.id,))
        call.fail(UnexpectedError(call.id))
