from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_files import CLASSIC, FLOAT, INT64, STRING, Node, Value, write_model
from saved_models import needs

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.onnx_server import OnnxServer

needs("onnxruntime", "onnx")
ROWS = np.array([[1.0, 2.0], [3.0, 4.0]])


def loaded(uri: object, **parameters: Any) -> OnnxServer:
    server = OnnxServer(model_uri=str(uri), **parameters)
    server.load()
    return server


@pytest.fixture
def one_input(tmp_path: Path) -> Path:
    """y = x + x, for rows of two."""
    table = [None, 2]
    node = Node("Add", ["x", "x"], ["y"])
    write_model(tmp_path / "m.onnx", [node], [Value("x", FLOAT, table)], [Value("y", FLOAT, table)])
    return tmp_path


@pytest.fixture
def two_inputs(tmp_path: Path) -> Path:
    """sum = a + b and difference = a - b, for columns of numbers."""
    column = [None, 1]
    write_model(
        tmp_path / "m.onnx",
        [Node("Add", ["a", "b"], ["sum"]), Node("Sub", ["a", "b"], ["difference"])],
        [Value("a", FLOAT, column), Value("b", FLOAT, column)],
        [Value("sum", FLOAT, column), Value("difference", FLOAT, column)],
    )
    return tmp_path


def test_the_only_input_takes_the_array_in_its_own_type(one_input: Path) -> None:
    answer = loaded(one_input).predict(ROWS, [])
    np.testing.assert_array_equal(answer, ROWS * 2)
    assert answer.dtype == np.float32


def test_a_file_can_be_named_itself(one_input: Path) -> None:
    (one_input / "other.onnx").touch()
    np.testing.assert_array_equal(loaded(one_input / "m.onnx").predict(ROWS), ROWS * 2)


def test_several_outputs_become_an_object_or_the_one_that_was_chosen(two_inputs: Path) -> None:
    inputs = {"a": [[3.0]], "b": [[2.0]]}
    assert loaded(two_inputs).predict(inputs) == {"sum": [[5.0]], "difference": [[1.0]]}
    assert loaded(two_inputs, output="difference").predict(inputs).tolist() == [[1.0]]


def test_the_columns_of_a_table_are_the_inputs_by_name_or_place(two_inputs: Path) -> None:
    server = loaded(two_inputs, output="difference")
    assert server.predict(ROWS).tolist() == [[-1.0], [-1.0]]
    assert server.predict(ROWS, ["b", "a"]).tolist() == [[1.0], [1.0]]


def test_a_missing_input_is_named(two_inputs: Path) -> None:
    with pytest.raises(UnfitInput, match="jsonData lacks b; the model's inputs are a, b"):
        loaded(two_inputs).predict({"a": [[1.0]]})


def test_texts_and_integers_are_converted(tmp_path: Path) -> None:
    values = [Value("t", STRING, [None]), Value("n", INT64, [None])]
    results = [Value("t2", STRING, [None]), Value("n2", INT64, [None])]
    nodes = [Node("Identity", ["t"], ["t2"]), Node("Identity", ["n"], ["n2"])]
    write_model(tmp_path / "m.onnx", nodes, values, results)
    answer = loaded(tmp_path).predict({"t": ["a", "bc"], "n": [1.0, 2.0]})
    assert answer == {"t2": ["a", "bc"], "n2": [1, 2]}
    assert isinstance(answer["n2"][0], int)


@pytest.mark.parametrize("rows", [np.zeros((1, 3)), np.zeros(2), np.array([["a", "b"]])])
def test_an_array_that_does_not_fit_is_the_clients_fault(one_input: Path, rows: Any) -> None:
    with pytest.raises(UnfitInput):
        loaded(one_input).predict(rows)


def test_a_classifiers_map_of_probabilities_becomes_columns(tmp_path: Path) -> None:
    node = Node("ZipMap", ["x"], ["p"], {"classlabels_int64s": [5, 7]}, CLASSIC)
    values = [Value("x", FLOAT, [None, 2])]
    write_model(tmp_path / "m.onnx", [node], values, [Value("p", FLOAT, None)])
    assert loaded(tmp_path).predict(ROWS).tolist() == ROWS.tolist()


def test_an_unknown_output_is_a_load_error_with_those_that_exist(two_inputs: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="no output 'y'; its outputs are sum, difference"):
        loaded(two_inputs, output="y")


def test_a_folder_with_two_models_is_refused(one_input: Path) -> None:
    (one_input / "other.onnx").touch()
    with pytest.raises(ModelNotLoaded, match=r"several of them \(m\.onnx, other\.onnx\)"):
        loaded(one_input)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"broken")
    with pytest.raises(ModelNotLoaded, match=r"m\.onnx could not be loaded as an ONNX model"):
        loaded(tmp_path)
