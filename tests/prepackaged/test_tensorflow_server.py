from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import library, write_mlmodel

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.tensorflow_server import TensorflowServer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tensorflow = library("tensorflow", "tensorflow")
ROWS = np.arange(8.0).reshape(2, 4)
EXPECTED = ROWS[:, :2] * 2


def save_saved_model(folder: Path) -> None:
    """Twice the first two columns; as the output with the later name the sum of all."""

    class Doubling(tensorflow.Module):
        @tensorflow.function(
            input_signature=[tensorflow.TensorSpec([None, 4], tensorflow.float32, name="x")]
        )
        def serve(self, x: Any) -> Any:
            return {"doubled": x[:, :2] * 2, "sum": tensorflow.reduce_sum(x, axis=1)}

    model = Doubling()
    tensorflow.saved_model.save(
        model, str(folder), signatures={"serving_default": model.serve, "other": model.serve}
    )


def keras_model(shape: tuple[int | None, ...] = (4,)) -> Any:
    keras = tensorflow.keras
    given = keras.Input(shape, name="x")
    return keras.Model(given, keras.layers.Rescaling(2.0)(given))


def loaded(uri: object, **parameters: Any) -> TensorflowServer:
    server = TensorflowServer(model_uri=str(uri), **parameters)
    server.load()
    return server


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_saved_model(folder)
    return folder


def test_a_saved_model_answers_its_first_output(saved_model: Path) -> None:
    answer = loaded(saved_model).predict(ROWS)
    np.testing.assert_array_equal(answer, EXPECTED)
    assert answer.dtype == np.float32


def test_signature_input_and_output_can_be_chosen(saved_model: Path) -> None:
    chosen = loaded(saved_model, signature_name="other", model_input="x", model_output="sum")
    assert chosen.predict(ROWS).tolist() == [6.0, 22.0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"signature_name": "train"}, "no signature 'train'; its signatures: .*serving_default"),
        ({"model_input": "y"}, "no input 'y'; its inputs are x"),
        ({"model_output": "y"}, "no output 'y'; its outputs are doubled, sum"),
    ],
)
def test_what_the_saved_model_does_not_have_is_a_load_error(
    saved_model: Path, parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelNotLoaded, match=message):
        loaded(saved_model, **parameters)


def test_an_object_names_the_inputs(saved_model: Path) -> None:
    np.testing.assert_array_equal(loaded(saved_model).predict({"x": ROWS.tolist()}), EXPECTED)


def test_the_highest_of_numbered_folders_is_taken(tmp_path: Path) -> None:
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "saved_model.pb").write_bytes(b"broken")
    save_saved_model(tmp_path / "10")
    np.testing.assert_array_equal(loaded(tmp_path).predict(ROWS), EXPECTED)


@pytest.mark.parametrize("name", ["model.keras", "weights.h5"])
@pytest.mark.filterwarnings("ignore:You are saving:UserWarning")
def test_a_keras_file_is_read(tmp_path: Path, name: str) -> None:
    keras_model().save(tmp_path / name)
    np.testing.assert_array_equal(loaded(tmp_path).predict(ROWS), ROWS * 2)


@pytest.mark.parametrize(
    ("flavor", "place"),
    [
        ({"tensorflow": {"saved_model_dir": "tfmodel"}}, "tfmodel"),
        ({"tensorflow": {"data": "data", "model_type": "tf2-module"}}, "data/tf2model"),
        ({"keras": {"data": "data"}}, "data/model"),
    ],
)
def test_saved_models_in_the_folder_of_mlflow_are_found(
    tmp_path: Path, flavor: dict[str, Any], place: str
) -> None:
    write_mlmodel(tmp_path, flavor)
    save_saved_model(tmp_path / place)
    np.testing.assert_array_equal(loaded(tmp_path).predict(ROWS), EXPECTED)


def test_keras_files_in_the_folder_of_mlflow_are_found(tmp_path: Path) -> None:
    write_mlmodel(tmp_path, {"tensorflow": {"data": "data", "model_type": "keras"}})
    (tmp_path / "data").mkdir()
    keras_model().save(tmp_path / "data" / "model.keras")
    np.testing.assert_array_equal(loaded(tmp_path).predict(ROWS), ROWS * 2)


@pytest.mark.parametrize(
    ("mode", "channels", "shape"),
    [("L", 1, (1, 5, 6, 1)), ("RGBA", 3, (1, 5, 6, 3)), ("L", None, (1, 5, 6))],
)
def test_a_picture_becomes_a_batch_of_one_with_the_models_channels(
    tmp_path: Path, mode: str, channels: int | None, shape: tuple[int, ...]
) -> None:
    image = library("PIL.Image", "tensorflow")
    encoded = io.BytesIO()
    image.new(mode, (6, 5), 51 if mode == "L" else (51, 51, 51, 255)).save(encoded, "png")
    given = (None, None, channels) if channels is not None else (None, None)
    keras_model(given).save(tmp_path / "model.keras")
    answer = loaded(tmp_path).predict(encoded.getvalue())
    assert answer.shape == shape
    np.testing.assert_allclose(answer, 2 * 51 / 255, rtol=1e-6)


def test_bytes_that_are_no_picture_are_the_clients_fault(tmp_path: Path) -> None:
    library("PIL.Image", "tensorflow")
    keras_model((None, None, 3)).save(tmp_path / "model.keras")
    with pytest.raises(UnfitInput, match="binData is not a picture that can be read"):
        loaded(tmp_path).predict(b"no picture")


def test_rows_that_do_not_fit_are_the_clients_fault(saved_model: Path) -> None:
    with pytest.raises(UnfitInput, match=r"x has the shape \[1, 3\]; the model takes \[n, 4\]"):
        loaded(saved_model).predict(np.zeros((1, 3)))
    with pytest.raises(UnfitInput, match="the input is not an array of float32"):
        loaded(saved_model).predict(np.array([["a", "b", "c", "d"]]))


def test_a_folder_without_a_model_tells_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match=r"expected a SavedModel \(saved_model\.pb\), a Keras"):
        loaded(tmp_path)


def test_a_broken_keras_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"broken")
    with pytest.raises(ModelNotLoaded, match=r"model\.keras could not be loaded as a Keras model"):
        loaded(tmp_path)


def test_the_endpoints_of_seldons_sidecar_are_taken_and_not_called(saved_model: Path) -> None:
    server = loaded(saved_model, model_name="doubling", rest_endpoint="http://0.0.0.0:2001")
    assert server.predict(ROWS).shape == (2, 2)


def test_the_responses_names_are_empty() -> None:
    assert TensorflowServer().class_names() == []
