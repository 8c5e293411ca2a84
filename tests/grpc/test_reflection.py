"""What tools such as grpcurl learn from the server."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from front_serving import WAIT_S, Client, Served
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import ExtensionRequest, ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from mms.interfaces.seldon.codec.messages import FILE_NAME, SERVICES

ALPHA = "grpc.reflection.v1alpha.ServerReflection"
VERSIONS = ["grpc.reflection.v1.ServerReflection", ALPHA]


@pytest.fixture
def stub(client: Client) -> ServerReflectionStub:
    return ServerReflectionStub(client.channel)  # type: ignore[no-untyped-call]


def one(request: ServerReflectionRequest) -> Iterator[ServerReflectionRequest]:
    yield request


async def ask(stub: ServerReflectionStub, **question: object) -> object:
    request = ServerReflectionRequest(host="here", **question)  # type: ignore[arg-type]
    (response,) = [r async for r in stub.ServerReflectionInfo(one(request), timeout=WAIT_S)]
    assert (response.valid_host, response.original_request) == ("here", request)
    return response


async def test_all_services_are_listed(stub: ServerReflectionStub) -> None:
    response = await ask(stub, list_services="")
    names = [service.name for service in response.list_services_response.service]  # type: ignore[attr-defined]
    assert {*SERVICES, *VERSIONS, "grpc.health.v1.Health"} <= set(names)
    assert names == sorted(names)


def files_of(response: object) -> dict[str, FileDescriptorProto]:
    found = response.file_descriptor_response.file_descriptor_proto  # type: ignore[attr-defined]
    files = [FileDescriptorProto.FromString(one_file) for one_file in found]
    return {file.name: file for file in files}


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": FILE_NAME},
        {"file_containing_symbol": "seldon.protos.SeldonMessage"},
        {"file_containing_symbol": "seldon.protos.Model"},
        {"file_containing_symbol": "seldon.protos.Model.Predict"},
    ],
)
async def test_a_file_comes_first_and_with_all_that_it_imports(
    question: dict[str, str], stub: ServerReflectionStub
) -> None:
    files = files_of(await ask(stub, **question))
    assert next(iter(files)) == FILE_NAME
    for file in files.values():
        assert set(file.dependency) <= set(files)
    assert {s.name for s in files[FILE_NAME].service} == {n.rpartition(".")[2] for n in SERVICES}


async def test_the_reflection_service_describes_itself_as_a_stream(
    stub: ServerReflectionStub,
) -> None:
    files = files_of(await ask(stub, file_containing_symbol=ALPHA))
    (method,) = next(iter(files.values())).service[0].method
    assert method.client_streaming and method.server_streaming


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "nothing.proto"},
        {"file_containing_symbol": "seldon.protos.Nothing"},
        {"all_extension_numbers_of_type": "seldon.protos.Nothing"},
        {
            "file_containing_extension": ExtensionRequest(
                containing_type="seldon.protos.Meta", extension_number=7
            )
        },
    ],
)
async def test_what_is_not_known_is_said_to_be_not_found(
    question: dict[str, object], stub: ServerReflectionStub
) -> None:
    response = await ask(stub, **question)
    assert response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]  # type: ignore[attr-defined]
    assert response.error_response.error_message  # type: ignore[attr-defined]


async def test_a_message_without_extensions_has_none(stub: ServerReflectionStub) -> None:
    response = await ask(stub, all_extension_numbers_of_type="seldon.protos.Meta")
    answer = response.all_extension_numbers_response  # type: ignore[attr-defined]
    assert (answer.base_type_name, list(answer.extension_number)) == ("seldon.protos.Meta", [])


async def test_many_questions_are_answered_in_their_order(stub: ServerReflectionStub) -> None:
    names = ["seldon.protos.Meta", "nothing", "seldon.protos.Model"]

    def questions() -> Iterator[ServerReflectionRequest]:
        for name in names:
            yield ServerReflectionRequest(file_containing_symbol=name)

    call = stub.ServerReflectionInfo(questions(), timeout=WAIT_S)
    asked = [response.original_request.file_containing_symbol async for response in call]
    assert asked == names


@pytest.mark.parametrize("service", VERSIONS)
async def test_both_versions_of_the_service_speak_the_same_bytes(
    service: str, served: Served, client: Client
) -> None:
    stream = client.channel.stream_stream(f"/{service}/ServerReflectionInfo")
    body = ServerReflectionRequest(list_services="*").SerializeToString()
    answers = [answer async for answer in stream(iter([body]), timeout=WAIT_S)]
    assert len(answers) == 1
    assert b"seldon.protos.Combiner" in answers[0]


async def test_what_is_no_question_ends_the_call(client: Client) -> None:
    stream = client.channel.stream_stream(f"/{ALPHA}/ServerReflectionInfo")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [answer async for answer in stream(iter([b"\xff"]), timeout=WAIT_S)]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
