"""TorchServe's gRPC services, as its clients call them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from .conftest import TorchServe, archive

DESCRIPTORS = Path(__file__).parents[3] / "mms/interfaces/torchserve/front/torchserve.binpb"
INFERENCE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
MANAGEMENT = "org.pytorch.serve.grpc.management.ManagementAPIsService"


class Stub:
    """Calls methods of a service by their names, with the members of their messages.

    `called`: another service that has them.
    """

    def __init__(self, service: str, port: int, *, called: str = "") -> None:
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
            pool.Add(file)
        self._service = pool.FindServiceByName(service)
        self._called = called or service
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def close(self) -> None:
        self._channel.close()

    def __getattr__(self, name: str) -> Any:
        method = self._service.methods_by_name[name]
        request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        kinds = ("unary" if not streams else "stream" for streams in _streaming(method))
        make = getattr(self._channel, "_".join(kinds))
        call = make(
            f"/{self._called}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        if method.client_streaming:
            return lambda messages: call((request(**each) for each in messages), timeout=40)
        return lambda **members: call(request(**members), timeout=40)


def _streaming(method: Any) -> tuple[bool, bool]:
    return method.client_streaming, method.server_streaming


@pytest.fixture
def stubs(torchserve: TorchServe) -> Iterator[tuple[Stub, Stub]]:
    """(inference, management)"""
    found = [
        Stub(service, int(str(torchserve.settings[f"grpc_{kind}_port"])))
        for service, kind in ((INFERENCE, "inference"), (MANAGEMENT, "management"))
    ]
    yield found[0], found[1]
    for stub in found:
        stub.close()


def code_of(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(**members)
    return caught.value.code().name, caught.value.details()  # type: ignore[attr-defined]


def test_models_answer_predictions_of_bytes_by_name(stubs: tuple[Stub, Stub]) -> None:
    inference, management = stubs
    management.RegisterModel(url="echo.mar", initial_workers=1, synchronous=True)
    value = bytes(range(32, 127)) * 3000
    for name in ("data", "body"):
        reply = inference.Predictions(model_name="echo", input={name: value})
        assert reply.prediction == value
    reply = inference.Predictions(model_name="echo", input={'a b;\r\n"': b"x"})
    assert reply.prediction == b"nothing"
    reply = inference.Predictions(
        model_name="echo", model_version="1.0", input={"data": b"1", "other": b"\x00\xff"}
    )
    assert reply.prediction == b"1"
    replies = inference.StreamPredictions(model_name="echo", input={"data": b"2"})
    assert [each.prediction for each in replies] == [b"2"]
    assert json.loads(inference.Ping().health) == {"status": "Healthy"}


def test_predictions_that_cannot_be_have_the_code_of_their_reason(
    stubs: tuple[Stub, Stub],
) -> None:
    inference, management = stubs
    assert code_of(inference.Predictions, input={"data": b"1"})[0] == "INVALID_ARGUMENT"
    found = code_of(inference.Predictions, model_name="absent", input={"data": b"1"})
    assert found == ("NOT_FOUND", "Model not found: absent")
    odd = {"a b": b"x" * 100_000}
    management.RegisterModel(url="echo.mar")
    assert code_of(inference.Predictions, model_name="echo", input={})[0] == "UNAVAILABLE"
    assert code_of(inference.Predictions, model_name="echo", input=odd)[0] == "INVALID_ARGUMENT"


def test_models_are_managed_with_the_texts_of_rest(stubs: tuple[Stub, Stub]) -> None:
    _, management = stubs
    reply = management.RegisterModel(url="echo.mar", initial_workers=1, synchronous=True)
    assert reply.msg == 'Model "echo" Version: 1.0 registered with 1 initial workers'
    management.RegisterModel(url="echo-2.0.mar")
    reply = management.ScaleWorker(
        model_name="echo", model_version="1.0", min_worker=1, synchronous=True
    )
    assert reply.msg == "Workers scaled to 1 for model: echo, version: 1.0"
    reply = management.SetDefault(model_name="echo", model_version="2.0")
    assert reply.msg == 'Default version successfully updated for model "echo" to "2.0"'
    [described] = json.loads(management.DescribeModel(model_name="echo").msg)
    assert described["modelVersion"] == "2.0"
    every = json.loads(management.DescribeModel(model_name="echo", model_version="all").msg)
    assert len(every) == 2
    # TorchServe takes no limit for one of nothing.
    listed = json.loads(management.ListModels().msg)
    assert listed == {"models": [{"modelName": "echo", "modelUrl": "echo-2.0.mar"}]}
    reply = management.UnregisterModel(model_name="echo", model_version="1.0")
    assert reply.msg == 'Model "echo" unregistered'


def test_management_that_cannot_be_has_torchserve_s_codes(stubs: tuple[Stub, Stub]) -> None:
    _, management = stubs
    management.RegisterModel(url="echo.mar")
    for name, members, code in (
        ("RegisterModel", {}, "INVALID_ARGUMENT"),
        ("RegisterModel", {"url": "absent.mar"}, "NOT_FOUND"),
        ("RegisterModel", {"url": "http://127.0.0.1:1/echo.mar"}, "INTERNAL"),
        ("ScaleWorker", {"model_name": "absent"}, "NOT_FOUND"),
        (
            "ScaleWorker",
            {"model_name": "echo", "min_worker": 2, "max_worker": 1},
            "INVALID_ARGUMENT",
        ),
        ("ScaleWorker", {"model_name": "echo", "min_worker": -1}, "INTERNAL"),
        ("SetDefault", {"model_name": "echo", "model_version": "9"}, "NOT_FOUND"),
        ("DescribeModel", {"model_name": "absent"}, "NOT_FOUND"),
        ("UnregisterModel", {}, "INVALID_ARGUMENT"),
        ("UnregisterModel", {"model_name": "absent"}, "NOT_FOUND"),
    ):
        assert code_of(getattr(management, name), **members)[0] == code, (name, members)


STREAM = """
def handle(data, context):
    return None if data is None else [parts(row) for row in data]


def parts(row):
    for number in range(int(bytes(row["data"]))):
        yield str(number) * 3000
    raise ValueError("no more")
"""


def test_a_stream_comes_in_messages_and_its_error_is_the_call_s(
    torchserve: TorchServe, stubs: tuple[Stub, Stub]
) -> None:
    inference, management = stubs
    archive(torchserve.store, "parts", STREAM)
    management.RegisterModel(url="parts.mar", initial_workers=1, synchronous=True)
    replies = inference.StreamPredictions(model_name="parts", input={"data": b"200"})
    got = []
    with pytest.raises(grpc.RpcError) as caught:
        got.extend(reply.prediction for reply in replies)
    assert got == [str(number).encode() * 3000 for number in range(200)]
    assert caught.value.code() != grpc.StatusCode.OK  # type: ignore[attr-defined]
    cancelled = inference.StreamPredictions(model_name="parts", input={"data": b"100000"})
    assert next(cancelled).prediction
    cancelled.cancel()
    replies = inference.StreamPredictions(model_name="parts", input={"data": b"1"})
    assert next(replies).prediction == b"0" * 3000
