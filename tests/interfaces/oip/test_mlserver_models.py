"""Models of MLServer: made with their settings, asked by requests, read and answered by codecs."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mms.interfaces.oip.interface import OIP
from mms.interfaces.oip.worker.mlserver import MlserverServer, open_mlserver
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, RequestedOutput, Tensor
from mms.wire import Load

MODELS = """
from typing import List, Optional
import numpy as np
from mlserver import MLModel, log, register
from mlserver.codecs import (
    Base64Codec, NumpyCodec, NumpyRequestCodec, StringCodec, StringRequestCodec, decode_args
)
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, ResponseOutput
from mlserver.utils import get_model_uri


class Doubles(MLModel):
    async def load(self) -> bool:
        self.calls = []
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        self.calls.append(len(x))
        if (x < 0).any():
            raise InferenceError("no negative numbers")
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output("y", x * 2)],
            parameters=Parameters(kind="doubled"),
        )


class Raw(MLModel):
    async def predict(self, payload):
        x = payload.inputs[0]
        total = sum(x.data)
        outputs = [
            ResponseOutput(name="sum", shape=[1], datatype="FP64", data=[total]),
            ResponseOutput(name="said", shape=[1], datatype="BYTES", data=[str(payload.parameters.mode)]),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


class Greets(MLModel):
    @decode_args
    async def predict(self, names: List[str], times: Optional[np.ndarray] = None) -> List[str]:
        count = 1 if times is None else int(times.sum())
        return [f"hello {name}" * count for name in names]


class Two(MLModel):
    @decode_args
    async def predict(self, a: np.ndarray, b: np.ndarray) -> "tuple[np.ndarray, np.ndarray]":
        return a + b, a - b


class Whole(MLModel):
    async def predict(self, payload):
        x = self.decode_request(payload, default_codec=NumpyRequestCodec)
        return self.encode_response(x.sum(axis=1), default_codec=NumpyRequestCodec)


class Texts(MLModel):
    async def predict(self, payload):
        words = self.decode_request(payload, default_codec=StringRequestCodec)
        wanted = payload.outputs[0]
        return InferenceResponse(
            model_name=self.name,
            outputs=[self.encode(words[::-1], wanted, default_codec=StringCodec)],
        )


class Gives(MLModel):
    # Elements of BYTES that are none, or too few rows; else its rows, with what it was told of them.

    async def load(self) -> bool:
        self.ids = []
        return True

    async def predict(self, payload):
        x = payload.inputs[0]
        self.ids.append(payload.id)
        mode = payload.parameters.mode if payload.parameters else ""
        data = {"number": [5], "huge": [10**11], "rows": ["a"]}.get(mode, list(x.data))
        shape = [1] if mode else x.shape
        parameters = x.parameters
        datatype = "BYTES" if mode else x.datatype
        output = ResponseOutput(name="y", shape=shape, datatype=datatype, data=data, parameters=parameters)
        return InferenceResponse(model_name=self.name, outputs=[output])


class Unready(MLModel):
    async def load(self) -> bool:
        return False


class Breaks(MLModel):
    async def predict(self, payload):
        mode = payload.parameters.mode
        if mode == "teapot":
            raise MLServerError("a teapot", 418)
        if mode == "none":
            return None
        if mode == "short":
            return InferenceResponse(
                model_name="m", outputs=[ResponseOutput(name="y", shape=[3], datatype="FP32", data=[1])]
            )
        raise ValueError("broken")
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "models_of_mlserver.py").write_text(MODELS)
    (package,) = (each.folder for each in OIP.packages if each.name == "mlserver")
    sys.path[:0] = [str(folder), package]
    yield importlib.import_module("models_of_mlserver")
    for path in (str(folder), package):
        sys.path.remove(path)
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("mlserver", "models_of_mlserver")
    ]:
        del sys.modules[name]


def serve(
    found: Any,
    tmp_path: Path,
    declaration: ModelDeclaration | None = None,
    load: dict[str, Any] | None = None,
    **settings: Any,
) -> MlserverServer:
    document = {"name": "m", "implementation": f"models_of_mlserver.{found.__name__}", **settings}
    (tmp_path / "model-settings.json").write_text(json.dumps(document))
    message = Load("m", "v1", str(tmp_path), "models_of_mlserver:M", **(load or {}))
    return open_mlserver(found, message, declaration)


def tensor(name: str, values: Any, datatype: str = "FP64", **parameters: Any) -> Tensor:
    array = np.array(values, object if datatype == "BYTES" else None)
    return Tensor(name, datatype, array.shape, array, parameters)


def request(*tensors: Tensor, outputs: list[str] | None = None, **parameters: Any) -> InferRequest:
    requested = None if outputs is None else [RequestedOutput(name) for name in outputs]
    return InferRequest("7", "", parameters, {each.name: each for each in tensors}, requested)


def shown(answer: InferResponse | InferError) -> Any:
    if isinstance(answer, InferError):
        return answer.status, answer.message
    return {each.name: (each.datatype, each.array.tolist()) for each in answer.outputs}


def test_a_model_decodes_and_encodes_arrays(models: Any, tmp_path: Path) -> None:
    server = serve(models.Doubles, tmp_path)
    (answer,) = server.infer([request(tensor("x", [[1.0, 2.0]]))])
    assert shown(answer) == {"y": ("FP64", [[2.0, 4.0]])}
    assert isinstance(answer, InferResponse)
    assert answer.parameters["kind"] == "doubled"
    assert answer.outputs[0].parameters == {"content_type": "np"}


def test_a_model_that_reads_the_data_itself_finds_numbers_and_parameters(
    models: Any, tmp_path: Path
) -> None:
    (answer,) = serve(models.Raw, tmp_path).infer([request(tensor("x", [[1.5, 2.0]]), mode="a")])
    assert shown(answer) == {"sum": ("FP64", [3.5]), "said": ("BYTES", [b"a"])}


def test_rows_are_joined_where_the_settings_say_how_many_and_how_long(
    models: Any, tmp_path: Path
) -> None:
    requests = [request(tensor("x", [[float(n)]])) for n in range(5)]
    apart = serve(models.Doubles, tmp_path, max_batch_size=4)
    apart.infer(requests)
    assert apart._model.calls == [1] * 5
    joined = serve(models.Doubles, tmp_path, max_batch_size=4, max_batch_time=0.01)
    answers = joined.infer(requests)
    assert joined._model.calls == [4, 1]
    assert [shown(answer)["y"][1] for answer in answers] == [[[2.0 * n]] for n in range(5)]
    mixed = joined.infer([requests[1], request(tensor("x", [[-1.0]]))])
    assert [shown(answer) for answer in mixed] == [
        {"y": ("FP64", [[2.0]])},
        (400, "no negative numbers"),
    ]


@pytest.mark.parametrize(
    ("tensors", "texts"),
    [
        ([tensor("names", [b"a", b"b"], "BYTES")], [[b"hello a"], [b"hello b"]]),
        (
            [tensor("names", [b"a"], "BYTES"), tensor("times", [2], "INT64")],
            [[b"hello ahello a"]],
        ),
    ],
)
def test_arguments_are_decoded_by_their_annotations(
    models: Any, tmp_path: Path, tensors: list[Tensor], texts: list[Any]
) -> None:
    (answer,) = serve(models.Greets, tmp_path).infer([request(*tensors)])
    assert shown(answer) == {"output-0": ("BYTES", texts)}


def test_several_results_are_outputs_in_their_order(models: Any, tmp_path: Path) -> None:
    tensors = (tensor("a", [[3]], "INT64"), tensor("b", [[1]], "INT64"))
    (answer,) = serve(models.Two, tmp_path).infer([request(*tensors)])
    assert shown(answer) == {"output-0": ("INT64", [[4]]), "output-1": ("INT64", [[2]])}
    (answer,) = serve(models.Two, tmp_path).infer([request(*tensors, tensor("c", [1.0]))])
    assert shown(answer) == (400, "Input 'c' was not found. Available inputs are 'a', 'b'.")


def test_whole_requests_are_decoded_and_answers_encoded(models: Any, tmp_path: Path) -> None:
    (answer,) = serve(models.Whole, tmp_path).infer(
        [request(tensor("x", [[1.0, 2.0], [3.0, 4.0]]))]
    )
    assert shown(answer) == {"output-1": ("FP64", [[3.0], [7.0]])}
    two = request(tensor("x", [[1.0]]), tensor("y", [[1.0]]))
    (answer,) = serve(models.Whole, tmp_path).infer([two])
    assert shown(answer)[0] == 400 and "only supports a single input tensor (2" in shown(answer)[1]


def test_texts_come_and_go_as_utf_8(models: Any, tmp_path: Path) -> None:
    words = tensor("words", ["grün".encode(), b"b"], "BYTES")
    (answer,) = serve(models.Texts, tmp_path).infer([request(words, outputs=["back"])])
    assert shown(answer) == {"back": ("BYTES", [[b"b"], ["grün".encode()]])}


def test_content_types_of_requests_and_settings_choose_the_codec(
    models: Any, tmp_path: Path
) -> None:
    codecs = importlib.import_module("mlserver.codecs")
    types = importlib.import_module("mlserver.types")
    declared = [
        {"name": "x", "datatype": "BYTES", "shape": [-1], "parameters": {"content_type": "str"}}
    ]
    model = serve(models.Raw, tmp_path, inputs=declared)._model
    given = types.RequestInput(name="x", shape=[1], datatype="BYTES", data=[b"YQ=="])
    assert model.decode(given, default_codec=codecs.NumpyCodec) == ["YQ=="]
    given.parameters = types.Parameters(content_type="base64")
    assert model.decode(given) == [b"a"]
    given.parameters = types.Parameters(content_type="datetime")
    given.data = ["2026-01-02T03:04:05"]
    assert model.decode(given)[0].year == 2026


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("teapot", (418, "a teapot")),
        ("none", (500, "predict returned NoneType; an InferenceResponse is right")),
        ("short", (500, "Output 'y' has 1 elements for the shape [3].")),
        ("other", (500, "Prediction failed")),
    ],
)
def test_errors_have_the_status_that_mlserver_gives_them(
    models: Any, tmp_path: Path, mode: str, expected: Any
) -> None:
    (answer,) = serve(models.Breaks, tmp_path).infer([request(tensor("x", [1.0]), mode=mode)])
    assert shown(answer) == expected


@pytest.mark.parametrize("mode", ["number", "huge"])
def test_an_element_of_bytes_that_is_a_number_fails_its_request_alone(
    models: Any, tmp_path: Path, mode: str
) -> None:
    requests = [request(tensor("x", [1.0]), mode=mode), request(tensor("x", [2.0]))]
    broken, right = serve(models.Gives, tmp_path).infer(requests)
    message = "Output 'y' has an element of BYTES that is neither bytes nor text, but int."
    assert (shown(broken), shown(right)) == ((500, message), {"y": ("FP64", [2.0])})


def test_a_joined_answer_keeps_what_its_outputs_say(models: Any, tmp_path: Path) -> None:
    server = serve(models.Gives, tmp_path, max_batch_size=4, max_batch_time=0.01)
    requests = [request(tensor("x", [float(n)], mine=n > 1)) for n in range(4)]
    answers = server.infer(requests)
    assert [shown(answer) for answer in answers] == [{"y": ("FP64", [float(n)])} for n in range(4)]
    assert [each.outputs[0].parameters["mine"] for each in answers] == [False, False, True, True]  # type: ignore[union-attr]  # no errors
    # Two calls, of rows of several clients: they have the id of none.
    assert server._model.ids == [None, None]


def test_a_wrong_number_of_rows_is_500_joined_and_alone(models: Any, tmp_path: Path) -> None:
    server = serve(models.Gives, tmp_path, max_batch_size=4, max_batch_time=0.01)
    wrong = request(tensor("x", [1.0, 2.0]), mode="rows")
    (alone,) = server.infer([wrong])
    assert shown(alone)[0] == 500 and "has 1 rows for the 2 rows" in shown(alone)[1]
    joined = server.infer([wrong, wrong])
    assert ["has 1 rows for the 4 rows" in shown(answer)[1] for answer in joined] == [True] * 2
    assert len(server._model.ids) == 2


@pytest.mark.parametrize("name", ["_mine", "__class__", "model_dump", "copy", "json"])
@pytest.mark.parametrize("place", ["request", "input", "output"])
def test_a_parameter_that_would_break_the_object_of_parameters_is_400(
    models: Any, tmp_path: Path, name: str, place: str
) -> None:
    said: dict[str, Any] = {name: 1}
    asked = {
        "request": request(tensor("x", [1.0]), **said),
        "input": request(tensor("x", [1.0], **said)),
        "output": request(tensor("x", [1.0]))._replace(outputs=[RequestedOutput("y", said)]),
    }[place]
    what = {"request": "The request", "input": "Input 'x'", "output": "Output 'y'"}[place]
    broken, right = serve(models.Gives, tmp_path).infer([asked, request(tensor("x", [2.0]))])
    assert shown(broken)[0] == 400
    assert shown(broken)[1].startswith(f"{what} has the parameter {name!r}, which models")
    assert shown(right) == {"y": ("FP64", [2.0])}


def test_parameters_that_mlserver_s_own_package_refuses_are_400(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**said: Any) -> Any:
        raise ValueError("headers should be a dictionary")

    server = serve(models.Gives, tmp_path)
    monkeypatch.setattr(server._types, "Parameters", refuse)
    (answer,) = server.infer([request(tensor("x", [1.0], headers="a"))])
    message = "Input 'x' has parameters that MLServer does not take: headers should be a dictionary"
    assert shown(answer) == (400, message)


def test_a_parameter_may_be_named_self(models: Any, tmp_path: Path) -> None:
    parameters: dict[str, Any] = {"self": "me"}
    asked = request(tensor("x", [1.0]))
    asked = asked._replace(inputs={"x": asked.inputs["x"]._replace(parameters=parameters)})
    (answer,) = serve(models.Gives, tmp_path).infer([asked])
    assert isinstance(answer, InferResponse) and answer.outputs[0].parameters["self"] == "me"


def test_a_model_that_says_that_it_is_not_ready_does_not_load(models: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Unready.load returned False"):
        serve(models.Unready, tmp_path)


def test_the_registration_says_arguments_and_files_in_place_of_the_settings(
    models: Any, tmp_path: Path
) -> None:
    arguments = [{"name": "depth", "value": "3", "type": "INT"}]
    (tmp_path / "w.bin").touch()
    server = serve(
        *(models.Doubles, tmp_path, None, {"parameters": arguments}),
        parameters={"uri": "./w.bin", "extra": {"depth": 1, "kept": True}},
    )
    settings = server._model.settings
    assert settings.parameters.extra == {"depth": 3, "kept": True}
    assert (server._model.name, server._model.version) == ("m", "v1")
    from mms.worker.running.awaiting import wait_for

    assert wait_for(models.get_model_uri(settings)) == str(tmp_path / "w.bin")


def test_metrics_of_a_model_are_taken_as_updates(models: Any, tmp_path: Path) -> None:
    server = serve(models.Doubles, tmp_path)
    models.register("rows", "Rows.")
    models.log(rows=3)
    assert [(each["name"], each["value"]) for each in server.take_series()] == [("rows", 3.0)]
