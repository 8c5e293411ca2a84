"""TorchServe's gRPC service of the Open Inference Protocol, whose requests handlers get as JSON, as with `kservev2`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.torchserve.conftest import TorchServe, archive
from conformance.torchserve.test_torchserve_grpc import Stub, code_of

SERVICE = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"
#: Of every server that speaks the protocol; the messages are the same on the wire.
COMMON = "inference.GRPCInferenceService"
#: Answers with what it was given, and with what the context says of the request.
_ECHO = """
import json


class Handler:
    def initialize(self, context):
        self.context = context

    def handle(self, data, context):
        values = [row["data"] for row in data]
        if "names" in context.input_names:
            return [json.dumps([context.input_names, getattr(context, "input_request_id", None)])] * len(data)
        return values
"""
#: Has no envelope's help, and says what it gets.
_RAW = """
class Handler:
    def initialize(self, context):
        pass

    def handle(self, data, context):
        return [row["body"] for row in data]
"""


def _tensor(name: str, datatype: str, shape: list[int], **contents: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "contents": contents}


@pytest.fixture(scope="module", params=["kservev2", None], ids=["kservev2", "without"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TorchServe, str | None]]:
    envelope = request.param
    settings = {"service_envelope": envelope} if envelope else {}
    flags = ("--ncs", "--disable-token-auth", "--enable-model-api")
    server = TorchServe(tmp_path_factory.mktemp("served"), *flags, settings=settings)
    archive(server.store, "echo", _ECHO if envelope else _RAW)
    archive(server.store, "wrong", _RAW.replace('row["body"]', '"no document"'))
    try:
        server.start()
        for name in ("echo", "wrong"):
            assert server.management.post(f"/models?url={name}.mar&initial_workers=1").status == 200
        yield server, envelope
        server.stop()
    finally:
        server.kill()


@pytest.fixture
def stub(served: tuple[TorchServe, str | None]) -> Iterator[Stub]:
    found = Stub(SERVICE, int(str(served[0].settings["grpc_inference_port"])))
    yield found
    found.close()


@pytest.fixture
def envelope(served: tuple[TorchServe, str | None]) -> str | None:
    return served[1]


def test_server_and_models_say_that_they_are_ready(stub: Stub) -> None:
    assert stub.ServerLive().live
    assert stub.ServerReady().ready
    assert stub.ServerMetadata().name == "Torchserve"
    assert stub.ModelReady(name="echo").ready
    metadata = stub.ModelMetadata(name="echo")
    assert (metadata.name, list(metadata.versions)) == ("echo", ["1.0"])
    for call in (stub.ModelReady, stub.ModelMetadata):
        assert code_of(call, name="absent") == ("NOT_FOUND", "Model not found: absent")
        assert code_of(call)[0] == "INVALID_ARGUMENT"
    infer = stub.ModelInfer
    assert code_of(infer, model_name="absent") == ("NOT_FOUND", "Model not found: absent")


def test_a_handler_gets_tensors_as_the_envelope_unwraps_them(
    stub: Stub, envelope: str | None
) -> None:
    if envelope is None:
        pytest.skip("of the envelope")
    inputs = [
        _tensor("a", "INT64", [2, 2], int64_contents=[1, 2, 3, 4]),
        _tensor("b", "FP32", [2], fp32_contents=[0.5, 2]),
        _tensor("c", "BYTES", [1], bytes_contents=[b"abc"]),
        _tensor("d", "BOOL", [2], bool_contents=[True, False]),
    ]
    answer = stub.ModelInfer(model_name="echo", id="seven", inputs=inputs)
    assert (answer.model_name, answer.model_version, answer.id) == ("echo", "1.0", "seven")
    shown = {output.name: (output.datatype, list(output.shape)) for output in answer.outputs}
    assert shown == {
        "a": ("INT64", [4]),
        "b": ("FP64", [2]),
        "c": ("BYTES", [1]),
        "d": ("BOOL", [2]),
    }
    a, b, c, d = (output.contents for output in answer.outputs)
    assert (list(a.int64_contents), list(b.fp64_contents)) == ([1, 2, 3, 4], [0.5, 2])
    # In base64 and as a JSON text, as TorchServe has bytes.
    assert (list(c.bytes_contents), list(d.bool_contents)) == ([b'"YWJj"'], [True, False])
    many = list(range(20_000))
    large = [_tensor("a", "INT32", [20_000], int_contents=many)]
    [output] = stub.ModelInfer(model_name="echo", inputs=large).outputs
    assert list(output.contents.int64_contents) == many


def test_the_context_has_the_names_of_inputs_and_the_client_s_id(
    stub: Stub, envelope: str | None
) -> None:
    if envelope is None:
        pytest.skip("of the envelope")
    names = _tensor("names", "INT32", [1], int_contents=[1])
    for id in ("seven", ""):
        [output] = stub.ModelInfer(model_name="echo", id=id, inputs=[names]).outputs
        [said] = output.contents.bytes_contents
        assert json.loads(json.loads(said)) == [["names"], id or None]


def test_a_handler_without_an_envelope_gets_the_document(stub: Stub, envelope: str | None) -> None:
    if envelope is not None:
        pytest.skip("of no envelope")
    tensor = _tensor("a", "UINT8", [2], uint_contents=[1, 2])
    code, details = code_of(stub.ModelInfer, model_name="echo", inputs=[tensor])
    assert (code, "service_envelope=kservev2" in details) == ("INTERNAL", True)
    code, details = code_of(stub.ModelInfer, model_name="wrong", inputs=[tensor])
    assert "no document of the Open Inference Protocol" in details


def test_what_has_no_such_form_is_refused(stub: Stub) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"inputs": [_tensor("a", "FP16", [1])]}, "datatype 'FP16'; right are BOOL"),
        ({"raw_input_contents": [b"1234"]}, "raw_input_contents is not read here"),
    ]
    for members, text in bad:
        code, details = code_of(stub.ModelInfer, model_name="echo", **members)
        assert (code, text in details) == ("INVALID_ARGUMENT", True), details


def test_the_common_service_asks_handlers_with_the_envelope_too(
    served: tuple[TorchServe, str | None], envelope: str | None
) -> None:
    if envelope is None:
        pytest.skip("of the envelope")
    port = int(str(served[0].settings["grpc_inference_port"]))
    stub = Stub(SERVICE, port, called=COMMON)
    inputs = [
        _tensor("a", "INT64", [2, 2], int64_contents=[1, 2, 3, 4]),
        _tensor("c", "BYTES", [1], bytes_contents=[b"abc"]),
    ]
    answer = stub.ModelInfer(model_name="echo", inputs=inputs)
    stub.close()
    a, c = (output.contents for output in answer.outputs)
    assert (list(a.int64_contents), list(c.bytes_contents)) == ([1, 2, 3, 4], [b"abc"])
