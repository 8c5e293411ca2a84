"""Classes with `predict(inputs, parameters)`: one call for a request, or for the rows of several."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from mms.interfaces.oip.worker.model_class import ClassServer, open_class
from mms.service import PredictionException
from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, RequestedOutput, Tensor
from mms.wire import Load


def request(*values: float, dtype: str = "FP32", **parameters: Any) -> InferRequest:
    array = np.array(values, {"FP32": np.float32, "FP64": np.float64}[dtype])
    return InferRequest("", "", parameters, {"x": Tensor("x", dtype, array.shape, array)})


def serve(found: Any, declaration: ModelDeclaration | None = None, **members: Any) -> ClassServer:
    return open_class(found, Load("m", None, "/", "service:Model", **members), declaration)


def shown(answer: InferResponse | InferError) -> Any:
    if isinstance(answer, InferError):
        return answer.status, answer.message
    return {tensor.name: tensor.array.tolist() for tensor in answer.outputs}


class Doubles:
    """Notes how many rows each call has."""

    max_batch_size = 4

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, inputs: Any, parameters: Any) -> Any:
        self.calls.append(len(inputs["x"]))
        if "fail" in parameters:
            raise RuntimeError("broken")
        return {"y": inputs["x"] * 2}


def made(found: type[Any]) -> tuple[Any, ClassServer]:
    instances = []

    class Noted(found):  # type: ignore[misc, valid-type]  # a class of the test's own
        def __init__(self) -> None:
            super().__init__()
            instances.append(self)

    server = serve(Noted)
    return instances[0], server


def test_rows_of_like_requests_are_joined_up_to_the_largest_batch() -> None:
    model, server = made(Doubles)
    requests = [request(1, 2), request(3), request(4, 5), request(6, dtype="FP64"), request(7)]
    answers = server.infer(requests)
    assert [shown(answer) for answer in answers] == [
        {"y": [2, 4]},
        {"y": [6]},
        {"y": [8, 10]},
        {"y": [12]},
        {"y": [14]},
    ]
    assert model.calls == [3, 3, 1]


def test_requests_with_other_parameters_or_outputs_are_not_joined() -> None:
    model, server = made(Doubles)
    other = request(3)._replace(outputs=[RequestedOutput("y")])
    server.infer([request(1), request(2, mode="x"), other, request(4, timeout=9)])
    assert sorted(model.calls) == [1, 1, 2]


def inputs(**arrays: Any) -> InferRequest:
    found = {name: np.array(values, np.float32) for name, values in arrays.items()}
    return InferRequest(
        "", "", {}, {name: Tensor(name, "FP32", each.shape, each) for name, each in found.items()}
    )


class Echoes:
    """Gives its inputs back, and notes their shapes."""

    max_batch_size = 8

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def predict(self, inputs: Any, parameters: Any) -> Any:
        self.calls.append([array.shape for array in inputs.values()])
        return inputs


def test_inputs_without_equally_many_rows_are_a_call_of_their_own_each() -> None:
    unequal = [inputs(a=[1, 2], b=[1, 2, 3]), inputs(a=[3, 4, 5], b=[4, 5])]
    scalars = [inputs(a=6), inputs(a=7), inputs(a=8, b=[9])]
    equal = [inputs(a=[1], b=[2]), inputs(a=[3], b=[4])]
    model, server = made(Echoes)
    requests = unequal + scalars + equal
    answers = server.infer(requests)
    assert [shown(answer) for answer in answers] == [
        {name: tensor.array.tolist() for name, tensor in each.inputs.items()} for each in requests
    ]
    assert model.calls == [[(2,), (3,)], [(3,), (2,)], [()], [()], [(), (1,)], [(2,), (2,)]]


def test_requests_without_inputs_are_a_call_of_their_own_each() -> None:
    class Says(Echoes):
        def predict(self, inputs: Any, parameters: Any) -> Any:
            return {"y": [1.0, 2.0, 3.0]}

    assert [shown(each) for each in made(Says)[1].infer([inputs(), inputs()])] == [
        {"y": [1, 2, 3]}
    ] * 2


def test_what_joins_rows_is_guarded_as_the_call_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arrays: Any) -> Any:
        raise ValueError("cannot be joined")

    monkeypatch.setattr("mms.interfaces.oip.worker.rows.np.concatenate", refuse)
    answers = made(Doubles)[1].infer([request(1), request(2)])
    assert [shown(answer) for answer in answers] == [{"y": [2]}, {"y": [4]}]


def with_input(**parameters: Any) -> InferRequest:
    plain = request(1)
    return plain._replace(inputs={"x": plain.inputs["x"]._replace(parameters=parameters)})


def with_output(**parameters: Any) -> InferRequest:
    return request(1)._replace(outputs=[RequestedOutput("y", parameters)])


@pytest.mark.parametrize(
    ("one", "other", "calls"),
    [
        (with_input(content_type="np"), with_input(content_type="str"), [1, 1]),
        (with_input(depth=1), with_input(depth=True), [1, 1]),
        (with_input(content_type="np", depth=1), with_input(depth=1, content_type="np"), [2]),
        (with_output(content_type="np"), with_output(content_type="str"), [1, 1]),
        (with_output(content_type="np"), with_output(content_type="np"), [2]),
        (with_input(), with_output(), [1, 1]),
    ],
)
def test_parameters_of_inputs_and_outputs_tell_requests_apart(
    one: InferRequest, other: InferRequest, calls: list[int]
) -> None:
    model, server = made(Doubles)
    server.infer([one, other])
    assert model.calls == calls


def test_inputs_in_another_order_are_not_joined() -> None:
    model, server = made(Echoes)
    server.infer([inputs(a=[1], b=[2]), inputs(b=[3], a=[4])])
    assert len(model.calls) == 2


class Tells(Echoes):
    """Gives tensors with a datatype and parameters of their own, an array, a list, and a number besides."""

    def predict(self, inputs: Any, parameters: Any) -> Any:
        x = inputs["x"]
        return {
            "half": Tensor("half", "BF16", x.shape, x, {"content_type": "np"}),
            "array": x.astype(np.uint8),
            "words": [f"w{value:.0f}" for value in x],
            "loss": 0.5,
        }


@pytest.mark.parametrize(
    "declaration",
    [
        None,
        ModelDeclaration.from_members(
            {
                "outputs": [
                    {"name": "half", "datatype": "BF16", "shape": [-1]},
                    {"name": "array", "datatype": "INT64", "shape": [-1]},
                    {"name": "words", "datatype": "BYTES", "shape": [-1]},
                ]
            }
        ),
    ],
)
def test_a_joined_answer_equals_the_one_alone(declaration: ModelDeclaration | None) -> None:
    # Of the number, which has no rows, nobody is told.
    outputs = [RequestedOutput(name) for name in ("half", "array", "words")]
    requests = [request(1)._replace(outputs=outputs), request(2, 3)._replace(outputs=outputs)]
    instances: list[Any] = []

    class Noted(Tells):
        def __init__(self) -> None:
            super().__init__()
            instances.append(self)

        def predict(self, inputs: Any, parameters: Any) -> Any:
            self.calls.append([inputs["x"].shape])
            return super().predict(inputs, parameters)

    server = serve(Noted, declaration)

    def told(answer: Any) -> Any:
        assert isinstance(answer, InferResponse)
        return [
            (each.name, each.datatype, tuple(each.shape), each.array.tolist(), each.parameters)
            for each in answer.outputs
        ]

    joined = [told(answer) for answer in server.infer(requests)]
    assert instances[0].calls == [[(3,)]]
    assert joined == [told(answer) for each in requests for answer in server.infer([each])]
    assert joined[1][0] == ("half", "BF16", (2,), [2.0, 3.0], {"content_type": "np"})


def test_an_error_for_clients_that_predict_raises_is_of_one_request() -> None:
    class Refuses(Doubles):
        def predict(self, inputs: Any, parameters: Any) -> Any:
            if (inputs["x"] < 0).any():
                raise InferError("no negative numbers", 422)
            return super().predict(inputs, parameters)

    answers = made(Refuses)[1].infer([request(1), request(-1)])
    assert [shown(answer) for answer in answers] == [{"y": [2]}, (422, "no negative numbers")]


def test_a_wrong_number_of_rows_is_told_to_all_without_another_call() -> None:
    class Short(Doubles):
        def predict(self, inputs: Any, parameters: Any) -> Any:
            super().predict(inputs, parameters)
            return inputs["x"][:1]

    model, server = made(Short)
    server.infer([request(1), request(2)])
    assert model.calls == [2]


def test_a_class_that_says_no_batch_size_gets_each_request_alone() -> None:
    class Alone(Doubles):
        max_batch_size = 0

    model, server = made(Alone)
    server.infer([request(1), request(2, 3)])
    assert model.calls == [1, 2]


def test_a_wrong_number_of_rows_is_500_that_names_the_output_and_the_numbers() -> None:
    class Short(Doubles):
        def predict(self, inputs: Any, parameters: Any) -> Any:
            return inputs["x"][:1]

    answers = made(Short)[1].infer([request(1), request(2)])
    message = (
        "Output 'output_0' has 1 rows for the 2 rows of the inputs; with max_batch_size each output has a row for each "
        "of them."
    )
    assert [shown(answer) for answer in answers] == [(500, message)] * 2


def test_where_a_joined_call_fails_each_request_is_tried_alone() -> None:
    class Refuses(Doubles):
        def predict(self, inputs: Any, parameters: Any) -> Any:
            if (inputs["x"] < 0).any():
                raise PredictionException("no negative numbers", 422)
            return super().predict(inputs, parameters)

    answers = made(Refuses)[1].infer([request(1), request(-1), request(2)])
    assert [shown(answer) for answer in answers] == [
        {"y": [2]},
        (422, "no negative numbers"),
        {"y": [4]},
    ]


def test_an_exception_fails_its_request_alone_with_500() -> None:
    answers = made(Doubles)[1].infer([request(1, fail=True), request(2)])
    assert [shown(answer) for answer in answers] == [(500, "Prediction failed"), {"y": [4]}]


def test_coroutines_of_one_batch_run_side_by_side() -> None:
    class Meets:
        """No call ends before two have begun."""

        def __init__(self) -> None:
            self.waiting: list[asyncio.Event] = []

        async def load(self) -> None:
            self.is_loaded = True

        async def predict(self, inputs: Any, parameters: Any) -> Any:
            assert self.is_loaded
            met = asyncio.Event()
            self.waiting.append(met)
            if len(self.waiting) == 2:
                for each in self.waiting:
                    each.set()
            await asyncio.wait_for(met.wait(), 10)
            return inputs["x"] + 1

    answers = serve(Meets).infer([request(1), request(2)])
    assert [shown(answer) for answer in answers] == [{"output_0": [2]}, {"output_0": [3]}]


def test_a_model_is_told_of_its_end() -> None:
    ended = []

    class Ends(Doubles):
        async def unload(self) -> None:
            ended.append(True)

    serve(Ends).close()
    serve(Doubles).close()
    assert ended == [True]


def test_results_are_cast_to_what_the_model_declares() -> None:
    declaration = ModelDeclaration.from_members(
        {"outputs": [{"name": "sum", "datatype": "INT32", "shape": []}]}
    )

    class Sums:
        def predict(self, inputs: Any) -> Any:
            return inputs["x"].sum()

    (answer,) = serve(Sums, declaration).infer([request(1, 2)])
    assert isinstance(answer, InferResponse)
    assert (answer.outputs[0].name, answer.outputs[0].datatype) == ("sum", "INT32")


def test_arguments_of_the_registration_go_to_the_constructor() -> None:
    class Adds:
        def __init__(self, bias: int) -> None:
            self.bias = bias

        def predict(self, inputs: Any, parameters: Any) -> Any:
            return inputs["x"] + self.bias

    arguments = [{"name": "bias", "value": "7", "type": "INT"}]
    (answer,) = serve(Adds, parameters=arguments).infer([request(1)])
    assert shown(answer) == {"output_0": [8]}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"predict": lambda self: 0}, "Odd.predict takes"),
        ({"predict": lambda self, a, b: 0, "max_batch_size": "8"}, "Odd.max_batch_size is '8'"),
    ],
)
def test_a_class_that_cannot_be_called_so_does_not_load(
    members: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        serve(type("Odd", (), members))
