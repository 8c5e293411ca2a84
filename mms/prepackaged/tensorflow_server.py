"""TensorFlow's SavedModels and Keras models."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.images import decode_image
from mms.prepackaged.inputs import Array, as_array, by_name
from mms.prepackaged.library import import_library, reading
from mms.prepackaged.mlflow_layout import find_flavor, has_mlflow_layout
from mms.prepackaged.model_folder import ModelFolder
from mms.prepackaged.server import SavedModelServer
from mms.text.brief import brief

EXTRA = "tensorflow"
DEFAULT_SIGNATURE = "serving_default"
SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
KERAS_FILES = ("*.keras", "*.h5")
_EXPECTED = (
    f"a SavedModel ({SAVED_MODEL_FILES[0]}), a Keras model (*.keras, *.h5) or MLmodel by MLflow"
)

_logger = logging.getLogger(__name__)


class TensorflowServer(SavedModelServer):
    """A SavedModel, in the folder or in TensorFlow Serving's numbered folders; a Keras file; MLflow's folder.

    `signature_name`, `model_input` and `model_output` choose a SavedModel's signature, its input for arrays and the
    output to answer with (else the first, by name in a SavedModel). Seldon's other parameters told where its
    TensorFlow Serving is; the model runs in this server's worker, so they are taken and have no effect.
    """

    def __init__(
        self,
        model_uri: str | None = None,
        signature_name: str = DEFAULT_SIGNATURE,
        model_name: str | None = None,
        model_input: str | None = None,
        model_output: str | None = None,
        rest_endpoint: str | None = None,
        grpc_endpoint: str | None = None,
    ) -> None:
        super().__init__(model_uri)
        self._signature_name = signature_name
        self._model_input = model_input
        self._model_output = model_output
        self._endpoint = rest_endpoint or grpc_endpoint
        self._output = ""
        self._tensorflow: Any = None
        self._model: Any = None
        self._call: Any = None
        self._inputs: dict[str, Any] = {}  # name -> TensorSpec or KerasTensor: shape, dtype

    def open_model(self, folder: ModelFolder) -> None:
        self._tensorflow = import_library("tensorflow", EXTRA)
        if self._endpoint is not None:
            _logger.info("%s is not called: the model runs in this worker", self._endpoint)
        path = _find_in_mlflow(folder) if has_mlflow_layout(folder) else _find_model(folder)
        if path.is_dir():
            self._open_saved_model(path)
        else:
            self._open_keras(path)

    def answer(self, X: Any, names: Any) -> Any:
        if isinstance(X, bytes | bytearray):
            X = self._read_image(bytes(X))
        try:
            results = self._call(**self._feed(X, names))
        except (self._tensorflow.errors.InvalidArgumentError, ValueError) as error:
            raise UnfitInput(f"the model refuses the input: {error}") from error
        return np.asarray(results[self._output])

    def class_names(self) -> list[str]:
        """None known: the response's names are an empty list, as with PrimeHub's server."""
        return []

    def _open_saved_model(self, path: Path) -> None:
        with reading(path, "a SavedModel"):
            model = self._tensorflow.saved_model.load(str(path))
        signature = model.signatures.get(self._signature_name)
        if signature is None:
            has = ", ".join(model.signatures) or "none"
            raise ModelNotLoaded(
                f"{path} has no signature {self._signature_name!r}; its signatures: {has}"
            )
        # The file holds them without an order; each process would have another one.
        inputs = sorted(signature.structured_input_signature[1].items())
        outputs = sorted(signature.structured_outputs)
        self._inputs = dict(inputs)
        _require(path, "input", self._model_input, list(self._inputs))
        _require(path, "output", self._model_output, outputs)
        self._output = self._model_output or outputs[0]
        # The signature holds its model weakly.
        self._model = model
        self._call = signature

    def _open_keras(self, file: Path) -> None:
        keras = self._tensorflow.keras
        with reading(file, "a Keras model"):
            # Without its optimiser, which may be a class of the training code.
            model = keras.models.load_model(str(file), compile=False)
        given = [tensor.name.partition(":")[0] for tensor in model.inputs]
        self._inputs = dict(zip(given, model.inputs, strict=True))
        _require(file, "input", self._model_input, given)
        _require(file, "output", self._model_output, list(model.output_names))
        self._output = self._model_output or model.output_names[0]
        only = len(given) == 1

        def call(**inputs: Any) -> Any:
            results = model(next(iter(inputs.values())) if only else inputs, training=False)
            if isinstance(results, Mapping):
                return results
            listed = results if isinstance(results, list | tuple) else [results]
            return dict(zip(model.output_names, listed, strict=True))

        self._call = call

    def _feed(self, X: Any, names: Any) -> dict[str, Any]:
        if isinstance(X, Mapping) or (len(self._inputs) > 1 and self._model_input is None):
            given = by_name(X, names, list(self._inputs))
        else:
            given = {self._model_input or next(iter(self._inputs)): X}
        return {name: self._as_tensor(value, name) for name, value in given.items()}

    def _as_tensor(self, value: Any, name: str) -> Any:
        dtype = self._tensorflow.as_dtype(self._inputs[name].dtype)
        is_text = dtype == self._tensorflow.string
        array: Array = as_array(value, np.str_ if is_text else dtype.as_numpy_dtype)
        # A signature would run on other shapes than it was saved for, with a wrong result.
        shape = self._tensorflow.TensorShape(self._inputs[name].shape)
        if not shape.is_compatible_with(array.shape):
            wanted = ", ".join(str(size or "n") for size in shape.as_list())
            raise UnfitInput(
                f"the input {name} has the shape {list(array.shape)}; the model takes [{wanted}]"
            )
        return self._tensorflow.constant(array.tolist() if is_text else array, dtype=dtype)

    def _read_image(self, content: bytes) -> Array:
        """Return a batch of one, in floats from 0 to 1, with the channels that the model takes."""
        first = self._inputs[self._model_input or next(iter(self._inputs))]
        shape = self._tensorflow.TensorShape(first.shape)
        return decode_image(content, shape[3] if shape.rank == 4 else None, EXTRA)


def _is_saved_model(path: Path) -> bool:
    return any((path / name).is_file() for name in SAVED_MODEL_FILES)


def _find_model(folder: ModelFolder) -> Path:
    if folder.only_file is None and _is_saved_model(folder.path):
        return folder.path
    versions = [path for path in folder.find("*") if path.name.isdigit() and _is_saved_model(path)]
    if versions:
        return max(versions, key=lambda path: int(path.name))
    return folder.one(_EXPECTED, *KERAS_FILES)


def _find_in_mlflow(folder: ModelFolder) -> Path:
    flavor = find_flavor(folder, "tensorflow", "keras")
    names = (flavor.members.get("saved_model_dir"), flavor.members.get("data"), "tfmodel", "data")
    for name in names:
        if isinstance(name, str) and (folder.path / name).exists():
            inside = ModelFolder(str(folder.inside(name, flavor.description)))
            # data/model with Keras, data/tf2model else; older versions had none of these levels.
            below = [path for path in inside.find("*") if _is_saved_model(path)]
            return below[0] if len(below) == 1 else _find_model(inside)
    raise folder.unexpected("data/model or tfmodel, which MLflow saves")


def _require(path: Path, what: str, name: str | None, has: list[str]) -> None:
    if name is not None and name not in has:
        raise ModelNotLoaded(
            f"{path} has no {what} {brief(name)}; its {what}s are {', '.join(has)}"
        )
