"""Components of Seldon's contract, and servers of saved models, asked with tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mms.interfaces.seldon.components.user_model import SeldonComponent, SeldonResponse
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.interfaces.seldon.load import ComponentLoad
from mms.interfaces.seldon.worker.interface import open_component
from mms.interfaces.seldon.worker.tensors import ComponentTensors
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, Tensor
from mms.wire import Load


def tensor(name: str, values: Any, dtype: Any, datatype: str) -> Tensor:
    array = np.array(values, dtype)
    return Tensor(name, datatype, array.shape, array)


def fp32(name: str, values: Any) -> Tensor:
    return tensor(name, values, np.float32, "FP32")


def texts(name: str, *values: str) -> Tensor:
    return tensor(name, [value.encode() for value in values], object, "BYTES")


def request(*tensors: Tensor) -> InferRequest:
    return InferRequest("", "", {}, {each.name: each for each in tensors})


def shown(answer: InferResponse | InferError) -> Any:
    if isinstance(answer, InferError):
        return answer.status, answer.message
    return {each.name: (each.datatype, each.array.tolist()) for each in answer.outputs}


def serve(instance: Any, *, joins_rows: bool = False, inputs: Any = None) -> ComponentTensors:
    tensors = None if inputs is None else {"inputs": inputs}
    component = open_component(instance, ComponentLoad())
    load = Load("m", None, "/", "Model", tensors=tensors)
    return ComponentTensors(component, instance, load, joins_rows=joins_rows)


class Notes:
    """Keeps what its calls were given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int], list[str]]] = []

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
        self.calls.append((str(X.dtype), list(X.shape), list(names)))
        return X * 2


def test_x_is_the_first_numeric_input_with_its_type_kept() -> None:
    model = Notes()
    flags = tensor("flags", [True], bool, "BOOL")
    (answer,) = serve(model).infer([request(texts("note", "a"), flags, fp32("x", [[1, 2]]))])
    assert shown(answer) == {"output_0": ("FP32", [[2.0, 4.0]])}
    assert model.calls == [("float32", [1, 2], [])]


def test_a_request_without_numbers_is_400_that_says_what_it_has() -> None:
    (answer,) = serve(Notes()).infer([request(texts("note", "a"))])
    assert shown(answer) == (
        400,
        "the model takes numbers, and no input of the request is numeric; it has 'note' (BYTES)",
    )


def test_names_become_the_names_of_columns() -> None:
    model = Notes()
    serve(model).infer([request(fp32("x", [[1, 2]]), texts("names", "a", "b"))])
    serve(model).infer([request(fp32("age", [1, 2]))])
    assert [names for _, _, names in model.calls] == [["a", "b"], ["age"]]


def test_declared_columns_make_one_table_with_their_names() -> None:
    declared = [
        {"name": "age", "datatype": "FP32", "shape": [-1]},
        {"name": "town", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    seen: list[Any] = []

    class Table:
        def predict(self, X: Any, names: Any) -> Any:
            seen.append((X.tolist(), list(names)))
            return [1]

    server = serve(Table(), inputs=declared)
    town = tensor("town", [[b"Bern"], [b"Z\xc3\xbcrich"]], object, "BYTES")
    server.infer([request(fp32("age", [1, 2]), town)])
    assert seen == [([[1.0, "Bern"], [2.0, "Zürich"]], ["age", "town"])]
    (answer,) = server.infer([request(fp32("age", [1]), town)])
    assert shown(answer) == (400, "the columns age, town have [1, 2] rows; each has equally many")


def test_rows_are_joined_by_type_shape_and_names_alone() -> None:
    model = Notes()
    server = serve(model, joins_rows=True)
    double = tensor("x", [[1]], np.float64, "FP64")
    requests = [
        *(request(fp32("x", [[1]])), request(double), request(fp32("x", [[2], [3]]))),
        *(request(fp32("x", [[1, 2]])), request(fp32("y", [[9]]))),
    ]
    answers = server.infer(requests)
    assert [shown(answer)["output_0"][1] for answer in answers] == [
        *([[2.0]], [[2.0]], [[4.0], [6.0]], [[2.0, 4.0]], [[18.0]]),
    ]
    assert model.calls == [
        ("float32", [3, 1], ["x"]),
        ("float64", [1, 1], ["x"]),
        ("float32", [1, 2], []),
        ("float32", [1, 1], ["y"]),
    ]


def test_an_error_of_a_component_keeps_its_status_and_fails_its_request_alone() -> None:
    class Refuses(Notes):
        def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
            if (X < 0).any():
                raise SeldonMicroserviceException("no negative numbers", 422)
            if (X == 0).any():
                raise ZeroDivisionError
            return super().predict(X, names)

    server = serve(Refuses(), joins_rows=True)
    answers = server.infer([request(fp32("x", [value])) for value in (1, -1, 0)])
    assert [shown(answer) for answer in answers] == [
        {"output_0": ("FP32", [2.0])},
        (422, "no negative numbers"),
        (500, "Prediction failed"),
    ]


def test_tags_are_parameters_of_the_answer_and_metrics_count() -> None:
    class Tagged(SeldonComponent):  # type: ignore[misc]  # the base is untyped for components
        def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
            return SeldonResponse([1], tags={"run": 7, "list": [1]})

        def tags(self) -> Any:
            return {"version": "a"}

        def metrics(self) -> Any:
            return [{"type": "COUNTER", "key": "calls", "value": 1}]

    instance = Tagged()
    component = open_component(instance, ComponentLoad())
    server = ComponentTensors(component, instance, Load("m", None, "/", "Model"))
    (answer,) = server.infer([request(fp32("x", [1]))])
    assert isinstance(answer, InferResponse)
    assert answer.parameters == {"version": "a", "run": 7}
    assert [each["name"] for each in component.take_series()]


def test_a_hook_for_whole_messages_is_given_one() -> None:
    class Raw:
        def predict_raw(self, message: Any) -> Any:
            data = message["data"]
            values = [value + 1 for value in data["tensor"]["values"]]
            return {"data": {"tensor": {"shape": data["tensor"]["shape"], "values": values}}}

    (answer,) = serve(Raw()).infer([request(fp32("x", [[1, 2]]))])
    assert shown(answer) == {"output_0": ("FP64", [[2.0, 3.0]])}


def test_a_component_without_a_result_is_500() -> None:
    class Silent:
        def predict(self, X: Any, names: Any) -> None: ...

    (answer,) = serve(Silent()).infer([request(fp32("x", [1]))])
    assert shown(answer)[0] == 500 and "predict returned None" in shown(answer)[1]


def test_a_saved_model_gets_its_inputs_by_name(tmp_path: Any) -> None:
    pytest.importorskip("onnxruntime", reason="the models are run by onnxruntime")
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[2] / "prepackaged"))
    from onnx_files import FLOAT, Node, Value, write_model

    from mms.interfaces.oip.declared.onnx_signature import read_onnx
    from mms.prepackaged.onnx_server import OnnxServer

    file = tmp_path / "m.onnx"
    values = [Value(name, FLOAT, [None]) for name in ("a", "b", "sum", "less")]
    nodes = [Node("Add", ["a", "b"], ["sum"]), Node("Sub", ["a", "b"], ["less"])]
    write_model(file, nodes, values[:2], values[2:])
    instance = OnnxServer(str(tmp_path))
    declared = read_onnx(file).to_members()
    component = open_component(instance, ComponentLoad())
    server = ComponentTensors(component, instance, Load("m", None, "/", "M", tensors=declared))
    (answer,) = server.infer([request(fp32("a", [5]), fp32("b", [3]))])
    assert shown(answer) == {"sum": ("FP32", [8.0]), "less": ("FP32", [2.0])}
