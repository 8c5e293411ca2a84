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
    output to answer with (else the first). Seldon's other parameters told where its TensorFlow Serving is; the model
    runs in this server's worker, so they are taken and have no effect.
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
        if not isinstance(results, Mapping):
            return np.asarray(results)
        if self._model_output is None:
            return np.asarray(next(iter(results.values())))
        if self._model_output not in results:
            raise ModelNotLoaded(
                f"the model has no output {self._model_output!r}; its outputs are {', '.join(results)}"
            )
        return np.asarray(results[self._model_output])

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
        self._inputs = dict(signature.structured_input_signature[1])
        if self._model_input is not None and self._model_input not in self._inputs:
            raise ModelNotLoaded(
                f"{path} has no input {self._model_input!r}; its inputs are {', '.join(self._inputs)}"
            )
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
        only = len(given) == 1

        def call(**inputs: Any) -> Any:
            results = model(next(iter(inputs.values())) if only else inputs, training=False)
            if isinstance(results, list | tuple):
                return dict(zip(model.output_names, results, strict=True))
            return results

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
        return self._tensorflow.constant(array.tolist() if is_text else array, dtype=dtype)

    def _read_image(self, content: bytes) -> Array:
        """A batch of one, in floats from 0 to 1, with the channels that the model takes."""
        first = self._inputs[self._model_input or next(iter(self._inputs))]
        shape = self._tensorflow.TensorShape(first.shape)
        return decode_image(content, shape[3] if shape.rank == 4 else None, EXTRA)


def _find_model(folder: ModelFolder) -> Path:
    if folder.find(*SAVED_MODEL_FILES):
        return folder.path
    versions = [path for path in folder.find("*") if path.is_dir() and path.name.isdigit()]
    for version in sorted(versions, key=lambda path: int(path.name), reverse=True):
        if ModelFolder(str(version)).find(*SAVED_MODEL_FILES):
            return version
    return folder.one(_EXPECTED, *KERAS_FILES)


def _find_in_mlflow(folder: ModelFolder) -> Path:
    flavor = find_flavor(folder, "tensorflow", "keras")
    names = (flavor.members.get("saved_model_dir"), flavor.members.get("data"), "tfmodel", "data")
    for name in names:
        if isinstance(name, str) and (folder.path / name).exists():
            inside = ModelFolder(str(folder.inside(name, flavor.description)))
            # Keras models are one level further down, as a folder or with an ending.
            if (inside.path / "model").is_dir():
                inside = ModelFolder(str(inside.path / "model"))
            return _find_model(inside)
    raise folder.unexpected("data/model or tfmodel, which MLflow saves")
