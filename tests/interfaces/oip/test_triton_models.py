"""Models of Triton's Python backend, with the stand-in for what they import."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mms.interfaces.oip.declared.triton_config import read_config
from mms.interfaces.oip.interface import OIP
from mms.interfaces.oip.worker.triton import TritonServer, open_triton
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, RequestedOutput, Tensor
from mms.wire import Load

CONFIG = """
backend: "python"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }, { name: "info" data_type: TYPE_STRING dims: [ 1 ] } ]
dynamic_batching { }
parameters { key: "mode" value { string_value: "fast" } }
"""


@pytest.fixture
def utils() -> Iterator[Any]:
    (folder,) = (each.folder for each in OIP.packages if each.name.startswith("triton"))
    sys.path.insert(0, folder)
    import triton_python_backend_utils  # type: ignore[import-not-found]  # a stand-in by its name

    yield triton_python_backend_utils
    sys.path.remove(folder)
    for name in [name for name in sys.modules if name.startswith("triton_python_backend_utils")]:
        del sys.modules[name]


def serve(found: type[Any], tmp_path: Path, config: str = CONFIG, **members: Any) -> TritonServer:
    (tmp_path / "config.pbtxt").write_text(config)
    declaration = read_config(config.encode()).declaration if config else None
    load = Load("m", "3", str(tmp_path), "1/model.py:TritonPythonModel", **members)
    return open_triton(found, load, declaration)


def request(
    *rows: list[float], outputs: list[str] | None = None, **parameters: Any
) -> InferRequest:
    array = np.array(rows, np.float32)
    requested = None if outputs is None else [RequestedOutput(name) for name in outputs]
    return InferRequest(
        "7", "", parameters, {"x": Tensor("x", "FP32", array.shape, array)}, requested
    )


def shown(answer: InferResponse | InferError) -> Any:
    if isinstance(answer, InferError):
        return answer.status, answer.message
    return {tensor.name: tensor.array.tolist() for tensor in answer.outputs}


def doubling(utils: Any) -> type[Any]:
    class TritonPythonModel:
        calls: list[int] = []
        seen: list[Any] = []

        def initialize(self, args: Any) -> None:
            self.args = args
            config = json.loads(args["model_config"])
            output = utils.get_output_config_by_name(config, "y")
            self.dtype = utils.triton_string_to_numpy(output["data_type"])
            self.mode = config["parameters"]["mode"]["string_value"]

        def execute(self, requests: Any) -> Any:
            self.calls.append(len(requests))
            self.seen += requests
            responses = []
            for each in requests:
                x = utils.get_input_tensor_by_name(each, "x").as_numpy()
                y = utils.Tensor("y", (x * 2).astype(self.dtype))
                info = utils.Tensor("info", np.full((len(x), 1), self.mode, np.object_))
                responses.append(utils.InferenceResponse([y, info], parameters={"k": 1}))
            return responses

        def finalize(self) -> None:
            self.calls.clear()

    return TritonPythonModel


def test_requests_of_a_batch_are_one_call_up_to_the_rows_of_the_configuration(
    utils: Any, tmp_path: Path
) -> None:
    found = doubling(utils)
    server = serve(found, tmp_path)
    answers = server.infer([request([1], [2]), request([3, 4]), request([5], [6]), request([7])])
    assert [shown(answer) for answer in answers] == [
        {"y": [[2], [4]], "info": [[b"fast"], [b"fast"]]},
        {"y": [[6, 8]], "info": [[b"fast"]]},
        {"y": [[10], [12]], "info": [[b"fast"], [b"fast"]]},
        {"y": [[14]], "info": [[b"fast"]]},
    ]
    assert found.calls == [2, 2]
    assert isinstance(answers[0], InferResponse) and answers[0].parameters == {"k": 1}
    server.close()
    assert found.calls == []


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_without_rows_in_the_configuration_each_call_is_for_one_request(
    utils: Any, tmp_path: Path, rows: int
) -> None:
    config = CONFIG.replace("max_batch_size: 4", "max_batch_size: 0")
    config = config.replace("dims: [ -1 ]", "dims: [ -1, 1 ]").replace("[ 1 ]", "[ -1, 1 ]")
    found = doubling(utils)
    server = serve(found, tmp_path, config)
    arrays = [np.full((rows, 1), n, np.float32) for n in range(3)]
    requests = [
        request(outputs=["y"])._replace(inputs={"x": Tensor("x", "FP32", each.shape, each)})
        for each in arrays
    ]
    answers = server.infer(requests)
    assert found.calls == [1, 1, 1]
    assert [shown(each) for each in answers] == [{"y": [[2.0 * n]] * rows} for n in range(3)]


def test_a_model_reads_what_the_client_said(utils: Any, tmp_path: Path) -> None:
    found = doubling(utils)
    server = serve(found, tmp_path)
    given = {"timeout": 500, "sequence_id": 9, "sequence_end": True, "mine": "x"}
    (answer,) = server.infer([request([1], outputs=["y"], **given)])
    assert shown(answer) == {"y": [[2]]}
    assert utils.get_model_dir() == str(tmp_path / "1")
    (seen,) = found.seen
    assert (seen.request_id(), seen.correlation_id(), seen.flags(), seen.timeout()) == (
        "7",
        9,
        2,
        500,
    )
    assert (seen.requested_output_names(), json.loads(seen.parameters())) == (["y"], {"mine": "x"})
    assert (seen.model_name(), seen.model_version()) == ("m", 3)
    server.infer([request([1])])
    assert (found.seen[-1].requested_output_names(), found.seen[-1].parameters()) == (
        ["y", "info"],
        "{}",
    )


def test_arguments_of_the_registration_are_parameters_of_the_configuration(
    utils: Any, tmp_path: Path
) -> None:
    arguments = [{"name": "mode", "value": "slow", "type": "STRING"}]
    server = serve(doubling(utils), tmp_path, parameters=arguments)
    assert shown(server.infer([request([1], outputs=["info"])])[0]) == {"info": [[b"slow"]]}


def model(utils: Any, execute: Any) -> type[Any]:
    return type("TritonPythonModel", (), {"execute": execute})


@pytest.mark.parametrize(
    ("code", "status"), [(0, 400), (1, 500), (2, 404), (3, 400), (4, 503), (5, 501), (7, 400)]
)
def test_an_error_fails_its_request_alone_with_the_status_of_its_code(
    utils: Any, tmp_path: Path, code: int, status: int
) -> None:
    def execute(self: Any, requests: Any) -> Any:
        good = utils.InferenceResponse([utils.Tensor("y", np.zeros((1, 1)))])
        bad = utils.InferenceResponse(error=utils.TritonError("it is bad", code))
        return [bad, good]

    server = serve(model(utils, execute), tmp_path)
    answers = server.infer([request([1], outputs=["y"]), request([1], outputs=["y"])])
    assert [shown(answer) for answer in answers] == [(status, "it is bad"), {"y": [[0]]}]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "execute returned NoneType for 1 requests; a list with an InferenceResponse"),
        ("[]", "execute returned a list of 0 for 1 requests"),
        ("[None]", "execute returned None for a request, and nothing was sent"),
        ("[utils.InferenceResponse()]", "Output 'y' is declared, and the model's result does not"),
        ("1 / 0", "Prediction failed"),
        ("utils.InferenceResponse([3])", "Prediction failed"),
    ],
)
def test_what_is_no_response_is_500_that_says_what_is_right(
    utils: Any, tmp_path: Path, returned: str, message: str
) -> None:
    def execute(self: Any, requests: Any) -> Any:
        return eval(returned, {"utils": utils})

    (answer,) = serve(model(utils, execute), tmp_path).infer([request([1])])
    assert isinstance(answer, InferError) and answer.status == 500
    assert answer.message.startswith(message)


def decoupled(utils: Any, count: int) -> type[Any]:
    """Sends so many responses from a thread of its own."""

    def execute(self: Any, requests: Any) -> None:
        def send() -> None:
            for each in requests:
                sender = each.get_response_sender()
                for _ in range(count):
                    y = utils.Tensor("y", np.ones((1, 1), np.float32))
                    sender.send(utils.InferenceResponse([y]))
                sender.send(flags=utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

        threading.Thread(target=send).start()

    return model(utils, execute)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"y": [[1]]}),
        (
            2,
            (
                501,
                "the model has sent more than one response to a request; clients get them by ModelStreamInfer of gRPC",
            ),
        ),
        (0, (500, "the model has sent no response to the request")),
    ],
)
def test_a_decoupled_model_answers_with_its_only_response(
    utils: Any, tmp_path: Path, count: int, expected: Any
) -> None:
    config = CONFIG + "model_transaction_policy { decoupled: true }"
    server = serve(decoupled(utils, count), tmp_path, config)
    (answer,) = server.infer([request([1], outputs=["y"])])
    assert shown(answer) == expected


def test_code_may_complete_a_configuration_that_names_no_tensors(
    utils: Any, tmp_path: Path
) -> None:
    def execute(self: Any, requests: Any) -> Any:
        return [utils.InferenceResponse([utils.Tensor("y", np.array([1]))]) for _ in requests]

    def complete(config: Any) -> Any:
        config.add_input({"name": "x", "data_type": "TYPE_FP32", "dims": [1]})
        config.add_output({"name": "y", "data_type": "TYPE_FP64", "dims": [1]})
        config.set_max_batch_size(0)
        return config

    found = model(utils, execute)
    found.auto_complete_config = staticmethod(complete)
    server = serve(found, tmp_path, "")
    wrong, right = server.infer([request([1]), request([1])._replace(inputs=_vector())])
    assert shown(wrong)[0] == 400
    assert isinstance(right, InferResponse) and right.outputs[0].datatype == "FP64"


def _vector() -> dict[str, Tensor]:
    return {"x": Tensor("x", "FP32", (1,), np.array([1], np.float32))}


def test_a_configuration_that_needs_more_than_a_model_s_code_does_not_load(
    utils: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="sequence_batching is not supported: requests of a"):
        serve(doubling(utils), tmp_path, CONFIG + "sequence_batching { }")


def test_asking_other_models_from_code_is_refused_with_the_reason(
    utils: Any, tmp_path: Path
) -> None:
    with pytest.raises(utils.TritonModelException, match="cannot ask other models here"):
        utils.InferenceRequest(model_name="other", inputs=[]).exec()


def test_tensors_share_their_memory_with_other_libraries(utils: Any) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = utils.Tensor("x", array)
    for source in (tensor.to_dlpack(), tensor, array):
        copy = utils.Tensor.from_dlpack("y", source)
        assert (copy.name(), copy.shape()) == ("y", [2, 3])
        assert np.shares_memory(copy.as_numpy(), array)


def test_texts_have_triton_s_binary_form(utils: Any) -> None:
    array = np.array([b"a\x00", "grün"], np.object_)
    packed = utils.serialize_byte_tensor(array).item()
    assert packed == b"\x02\x00\x00\x00a\x00\x05\x00\x00\x00gr\xc3\xbcn"
    assert utils.deserialize_bytes_tensor(packed).tolist() == [b"a\x00", "grün".encode()]


def test_metrics_of_a_model_are_taken_as_updates(utils: Any, tmp_path: Path) -> None:
    server = serve(doubling(utils), tmp_path)
    family = utils.MetricFamily("calls", "Calls.", utils.MetricFamily.COUNTER)
    metric = family.Metric({"kind": "a"})
    metric.increment(2)
    metric.increment(1)
    assert metric.value() == 3
    assert [(each["type"], each["value"], each["labels"]) for each in server.take_series()] == [
        ("counter", 2.0, {"kind": "a"}),
        ("counter", 1.0, {"kind": "a"}),
    ]
    assert server.take_series() == []
