"""Requests against the inputs that a component's metadata declare."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mms.interfaces.seldon.codec.messages import SeldonMessage

from .seldon_served import PROTO, Served, item

TABLE = {"messagetype": "ndarray", "schema": {"names": ["a", "b"], "shape": [2]}}
MESSAGE = {"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}}


class Declaring:
    def __init__(self, *inputs: Any) -> None:
        self.inputs = list(inputs)
        self.calls = 0

    def init_metadata(self) -> Any:
        return {"name": "m", "inputs": self.inputs}

    def predict(self, X: Any, names: Any) -> Any:
        self.calls += 1
        return X

    transform_input = transform_output = predict

    def route(self, X: Any, names: Any) -> Any:
        self.calls += 1
        return 0


class Raw(Declaring):
    def predict_raw(self, message: Any) -> Any:
        self.calls += 1
        return message


FITTING: list[tuple[Any, Any]] = [
    (TABLE, MESSAGE),
    (TABLE, {"data": {"ndarray": [[1, 2]]}}),
    (TABLE, {"data": {"tensor": {"shape": [2], "values": [1, 2]}}}),
    ({"messagetype": "tensor"}, {"data": {"ndarray": []}}),
    ({"messagetype": "tensor", "schema": {"shape": [-1, 2]}}, MESSAGE),
    ({"messagetype": "tensor", "schema": {"shape": [2, 2]}}, MESSAGE),
    ({"name": "x", "datatype": "INT64", "shape": [2]}, {"data": {"ndarray": [[1.0, 2.0]]}}),
    ({"name": "x", "datatype": "FP32"}, MESSAGE),
    ({"name": "x", "datatype": "BOOL"}, {"data": {"ndarray": [True]}}),
    ({"name": "x", "datatype": "BYTES"}, {"data": {"ndarray": ["a"]}}),
    ({"messagetype": "strData"}, {"strData": "a"}),
    ({"messagetype": "binData"}, {"binData": "MTIz"}),
    ({"messagetype": "jsonData"}, {"jsonData": {"a": 1}}),
    ({"messagetype": "mine", "schema": {}}, {"strData": "a"}),
]
UNFIT: list[tuple[Any, Any, str]] = [
    (TABLE, {"data": {"names": ["b", "a"], "ndarray": [[1, 2]]}}, "data.names are ['b', 'a'], not"),
    (TABLE, {"data": {"names": "ab", "ndarray": [[1, 2]]}}, "data.names are 'ab', not ['a', 'b']"),
    (TABLE, {"data": {"names": 5, "ndarray": [[1, 2]]}}, "data.names are 5, not ['a', 'b']"),
    (TABLE, {"data": {"ndarray": [[1, 2, 3]]}}, "data has the shape [1, 3], not [2]"),
    (TABLE, {"strData": "a"}, "the payload is strData, not data"),
    ({"messagetype": "strData"}, MESSAGE, "the payload is data, not strData"),
    ({"messagetype": "binData"}, {"strData": "MTIz"}, "the payload is strData, not binData"),
    ({"messagetype": "jsonData"}, {"binData": "MTIz"}, "the payload is binData, not jsonData"),
    (
        {"datatype": "INT8"},
        {"data": {"ndarray": [1.5]}},
        "data has values of type float64, not INT8",
    ),
    ({"datatype": "FP64"}, {"data": {"ndarray": ["a"]}}, "data has values of type <U1, not FP64"),
]


@pytest.mark.parametrize(("declared", "message"), FITTING)
@pytest.mark.parametrize("kind", [Declaring, Raw])
def test_a_request_that_fits_is_answered(kind: Any, declared: Any, message: Any) -> None:
    assert Served(kind(declared), validates_inputs=True).predict(message).status == 200


@pytest.mark.parametrize(("declared", "message", "told"), UNFIT)
@pytest.mark.parametrize("kind", [Declaring, Raw])
def test_a_request_that_does_not_fit_is_400_before_the_hook_is_called(
    kind: Any, declared: Any, message: Any, told: str
) -> None:
    component = kind(declared)
    served = Served(component, validates_inputs=True)
    for operation in ("predict", "transform-input", "transform-output", "route"):
        reply = served.ask(operation, message)
        assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")
        expected = f"The request does not fit the inputs that the model declares: {told}"
        assert reply.error["info"].startswith(expected)
    assert component.calls == 0
    assert Served(component).predict(message).status == 200


def test_one_of_several_inputs_suffices_and_else_all_are_told_of() -> None:
    served = Served(Declaring(TABLE, {"messagetype": "strData"}), validates_inputs=True)
    assert served.predict(MESSAGE).status == 200
    assert served.predict({"strData": "a"}).status == 200
    info = served.predict({"jsonData": 1}).error["info"]
    assert info.endswith(
        "the payload is jsonData, not data; or the payload is jsonData, not strData"
    )


def test_requests_over_grpc_and_joined_ones_are_checked_too() -> None:
    component = Declaring({"messagetype": "tensor", "schema": {"shape": [2]}})
    served = Served(component, validates_inputs=True, row_batching=True)
    message = SeldonMessage()
    message.data.tensor.shape.extend([1, 3])
    message.data.tensor.values.extend([1, 2, 3])
    sent = [
        item("predict", MESSAGE),
        item("predict", message.SerializeToString(), content_type=PROTO),
        item("predict", {"data": {"ndarray": [[1]]}}),
        item("predict", MESSAGE),
    ]
    assert [reply.status for reply in served.send(*sent)] == [200, 400, 400, 200]


def test_metadata_of_the_environment_are_checked_against(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_METADATA", "{name: m, inputs: [{messagetype: strData}]}")
    served = Served(Declaring(TABLE), validates_inputs=True)
    assert [served.predict(sent).status for sent in (MESSAGE, {"strData": "a"})] == [400, 200]


def test_without_inputs_it_is_told_that_nothing_is_checked(caplog: Any) -> None:
    assert Served(Declaring(), validates_inputs=True).predict(MESSAGE).status == 200
    assert "validate_inputs has no effect" in caplog.text


def test_invalid_metadata_cannot_be_checked_against() -> None:
    with pytest.raises(ValueError, match="metadata are invalid"):
        Served(
            Declaring({"messagetype": "tensor", "schema": {"shape": "x"}}), validates_inputs=True
        )


def test_a_json_schema_is_checked_where_its_library_is_installed() -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is what checks JSON schemas")
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    served = Served(Declaring({"messagetype": "jsonData", "schema": schema}), validates_inputs=True)
    assert served.predict({"jsonData": {"a": 1}}).status == 200
    info = served.predict({"jsonData": {"a": "x"}}).error["info"]
    assert info.endswith("jsonData['a']: 'x' is not of type 'integer'")


def test_without_that_library_it_is_told(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    declared = {"messagetype": "jsonData", "schema": {"type": "object"}}
    assert (
        Served(Declaring(declared), validates_inputs=True).predict({"jsonData": {}}).status == 200
    )
    assert "pip install jsonschema" in caplog.text
