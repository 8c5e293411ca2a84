"""gRPC's reflection service, by which tools such as grpcurl learn of services and messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from mms.core.request import Buffer
from mms.errors import INVALID_ARGUMENT, NOT_FOUND, BadRequest
from mms.grpc.call import Call, Method, Receiver
from mms.grpc.reflection_messages import POOL, SERVICES, Messages, messages_of
from mms.grpc.status import OK, Status

_NO_ERROR = Status(OK, "", 200)


class Reflection:
    """Answers what `files`, of (descriptor pool, names of services), hold."""

    def __init__(self, files: list[tuple[Any, list[str]]]) -> None:
        self._pools = [pool for pool, _ in files] + [POOL]
        self._services = sorted([name for _, names in files for name in names] + list(SERVICES))

    def __repr__(self) -> str:
        return f"<Reflection of {len(self._services)} services>"

    def methods(self) -> Iterator[Method]:
        for service in SERVICES:
            path = f"/{service}/ServerReflectionInfo".encode()
            yield Method(path, open=self._opener(messages_of(service)))

    def _opener(self, messages: Messages) -> Callable[[Call], Receiver]:
        return lambda call: _Conversation(self, call, messages)

    def fill(self, request: Any, response: Any) -> None:
        """Answer one question."""
        response.valid_host = request.host
        response.original_request.CopyFrom(request)
        kind = request.WhichOneof("message_request")
        try:
            if kind == "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            elif kind == "file_by_filename":
                self._add_files(response, self._find("FindFileByName", request.file_by_filename))
            elif kind == "file_containing_symbol":
                self._add_files(response, self._file_of_symbol(request.file_containing_symbol))
            elif kind == "file_containing_extension":
                wanted = request.file_containing_extension
                found = self._find_extension(wanted.containing_type, wanted.extension_number)
                self._add_files(response, found.file)
            elif kind == "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                descriptor = self._find("FindMessageTypeByName", name)
                answer = response.all_extension_numbers_response
                answer.base_type_name = name
                answer.extension_number.extend(
                    sorted(e.number for e in descriptor.file.pool.FindAllExtensions(descriptor))
                )
            else:
                response.error_response.error_code = INVALID_ARGUMENT
                response.error_response.error_message = (
                    "The request names no service, symbol or file."
                )
        except KeyError as error:
            response.error_response.error_code = NOT_FOUND
            response.error_response.error_message = str(error.args[0] if error.args else error)

    def _find(self, method: str, name: str) -> Any:
        for pool in self._pools:
            try:
                return getattr(pool, method)(name)
            except KeyError:
                continue
        raise KeyError(f"{name} is not known here.")

    def _file_of_symbol(self, name: str) -> Any:
        try:
            return self._find("FindFileContainingSymbol", name)
        except KeyError as missing:
            # Pools written in C find no methods.
            service_name, _, method_name = name.rpartition(".")
            if service_name not in self._services:
                raise
            service = self._find("FindServiceByName", service_name)
            if method_name not in service.methods_by_name:
                raise missing from None
            return service.file

    def _find_extension(self, message_name: str, number: int) -> Any:
        descriptor = self._find("FindMessageTypeByName", message_name)
        return descriptor.file.pool.FindExtensionByNumber(descriptor, number)

    def _add_files(self, response: Any, file: Any) -> None:
        """The file and all that it imports: clients need every one of them."""
        pending, known = [file], {file.name}
        while pending:
            found = pending.pop()
            proto = descriptor_pb2.FileDescriptorProto()
            found.CopyToProto(proto)
            response.file_descriptor_response.file_descriptor_proto.append(
                proto.SerializeToString()
            )
            for other in found.dependencies:
                if other.name not in known:
                    known.add(other.name)
                    pending.append(other)


class _Conversation:
    """One call: questions and answers, in turn."""

    def __init__(self, reflection: Reflection, call: Call, messages: Messages) -> None:
        self._reflection = reflection
        self._call = call
        self._messages = messages

    def message(self, body: Buffer) -> None:
        try:
            request = self._messages.request.FromString(bytes(body))
        except DecodeError as error:
            raise BadRequest(f"The message is not a ServerReflectionRequest: {error}") from None
        response = self._messages.response()
        self._reflection.fill(request, response)
        self._call.send(response.SerializeToString())

    def half_closed(self) -> None:
        self._call.finish(_NO_ERROR)

    def leave(self) -> None:
        self._call.finish(_NO_ERROR)
