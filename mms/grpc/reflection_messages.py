"""The messages of gRPC's reflection service, in a pool of their own: other packages bring the same ones along."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf import descriptor_pool, message_factory

from mms.bodies.descriptor_text import file_of, message_of

_METHOD = "ServerReflectionInfo"
_PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
SERVICES = tuple(f"{package}.ServerReflection" for package in _PACKAGES)


class Messages(NamedTuple):
    """The classes that a version of the service speaks in."""

    request: Any
    response: Any


def _file(package: str) -> Any:
    p = f".{package}"
    path = package.replace(".", "/")
    file = file_of(
        f"{path}/reflection.proto",
        package,
        messages=[
            message_of(
                "ServerReflectionRequest",
                "host 1 string",
                "file_by_filename 3 oneof:message_request string",
                "file_containing_symbol 4 oneof:message_request string",
                f"file_containing_extension 5 oneof:message_request {p}.ExtensionRequest",
                "all_extension_numbers_of_type 6 oneof:message_request string",
                "list_services 7 oneof:message_request string",
            ),
            message_of("ExtensionRequest", "containing_type 1 string", "extension_number 2 int32"),
            message_of(
                "ServerReflectionResponse",
                "valid_host 1 string",
                f"original_request 2 {p}.ServerReflectionRequest",
                f"file_descriptor_response 4 oneof:message_response {p}.FileDescriptorResponse",
                f"all_extension_numbers_response 5 oneof:message_response {p}.ExtensionNumberResponse",
                f"list_services_response 6 oneof:message_response {p}.ListServiceResponse",
                f"error_response 7 oneof:message_response {p}.ErrorResponse",
            ),
            message_of("FileDescriptorResponse", "file_descriptor_proto 1 repeated bytes"),
            message_of(
                "ExtensionNumberResponse",
                "base_type_name 1 string",
                "extension_number 2 repeated int32",
            ),
            message_of("ListServiceResponse", f"service 1 repeated {p}.ServiceResponse"),
            message_of("ServiceResponse", "name 1 string"),
            message_of("ErrorResponse", "error_code 1 int32", "error_message 2 string"),
        ],
        services={
            "ServerReflection": [
                f"{_METHOD} {p}.ServerReflectionRequest {p}.ServerReflectionResponse"
            ]
        },
    )
    method = file.service[0].method[0]
    method.client_streaming = method.server_streaming = True
    return file


def _make_pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for package in _PACKAGES:
        pool.AddSerializedFile(_file(package).SerializeToString())
    return pool


POOL: Any = _make_pool()


def messages_of(service: str) -> Messages:
    """The classes of one of SERVICES."""
    method = POOL.FindServiceByName(service).methods_by_name[_METHOD]
    return Messages(_class_of(method.input_type), _class_of(method.output_type))


def _class_of(descriptor: Any) -> Any:
    # The function came with protobuf 4.22; before it there was a factory.
    make = getattr(message_factory, "GetMessageClass", None)
    if make is None:
        make = message_factory.MessageFactory(POOL).GetPrototype
    return make(descriptor)
