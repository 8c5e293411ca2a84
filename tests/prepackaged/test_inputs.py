from __future__ import annotations

import numpy as np
import pytest

from mms.prepackaged.errors import UnfitInput
from mms.prepackaged.inputs import as_array, by_name, check_columns, in_order


def test_arrays_and_lists_are_taken() -> None:
    array = np.array([[1, 2]])
    assert as_array(array) is array
    assert as_array([[1, 2]], np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("value", "described"),
    [
        ("text", "strData"),
        (b"x", "binData"),
        ({"a": 1}, "an object"),
        (None, "nothing"),
        (3, "a single int"),
    ],
)
def test_what_is_no_array_is_told_as_the_client_sent_it(value: object, described: str) -> None:
    with pytest.raises(UnfitInput, match=f"the request has {described}"):
        as_array(value)


def test_text_is_no_number() -> None:
    with pytest.raises(UnfitInput, match="the input is not an array of float32"):
        as_array(np.array([["a", "b"]]), np.float32)


def test_rows_of_different_length_are_told() -> None:
    with pytest.raises(UnfitInput, match="not an array with rows of equal length"):
        as_array([[1, 2], [3]])


def test_columns_are_put_into_the_models_order_by_their_names() -> None:
    array = np.array([[1, 2, 3]])
    assert in_order(array, ["c", "a", "b"], ["a", "b", "c"]).tolist() == [[2, 3, 1]]


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "x"], ["a", "a", "b"]])
def test_columns_stay_in_place_where_the_names_are_not_the_models(names: list[str]) -> None:
    array = np.array([[1, 2, 3]])
    assert in_order(array, names, ["a", "b", "c"]) is array


def test_a_row_of_the_wrong_length_is_told_with_both_numbers() -> None:
    check_columns(np.zeros((5, 4)), 4)
    with pytest.raises(UnfitInput, match="a row has 3 values; the model takes 4"):
        check_columns(np.zeros((1, 3)), 4)
    with pytest.raises(UnfitInput, match=r"takes rows of 4 values.*the shape \[4\]"):
        check_columns(np.zeros(4), 4)


def test_several_inputs_come_by_name_from_an_object_or_a_tables_columns() -> None:
    inputs = {"a": [[1.0]], "b": [[2.0]]}
    assert by_name(inputs, [], ["a", "b"]) is inputs
    table = by_name(np.array([[1, 2], [3, 4]]), ["b", "a"], ["a", "b"])
    assert {name: column.tolist() for name, column in table.items()} == {
        "a": [[2], [4]],
        "b": [[1], [3]],
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1]}, "jsonData lacks b; the model's inputs are a, b"),
        ({"a": [1], "b": [1], "c": [1]}, "jsonData has c; the model's inputs are a, b"),
        (np.zeros((1, 3)), r"the model has 2 inputs \(a, b\)"),
        ("text", r"the model has 2 inputs \(a, b\)"),
    ],
)
def test_inputs_that_are_not_the_models_are_told(value: object, message: str) -> None:
    with pytest.raises(UnfitInput, match=message):
        by_name(value, [], ["a", "b"])


def test_an_unfit_input_is_answered_with_400_by_whoever_knows_seldons_exceptions() -> None:
    error = UnfitInput("a row has 3 values")
    assert error.status_code == 400
    assert error.to_dict()["status"]["info"] == "a row has 3 values"
    assert error.to_dict()["status"]["reason"] == "MICROSERVICE_BAD_DATA"
