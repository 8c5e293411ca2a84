"""ONNX models, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.inputs import Array, as_array, by_name
from mms.prepackaged.library import import_library, reading
from mms.prepackaged.model_folder import ModelFolder
from mms.prepackaged.server import SavedModelServer

EXTRA = "onnx"
#: Element types of inputs, as ONNX Runtime writes them.
_DTYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.str_,
}


class OnnxServer(SavedModelServer):
    """The one `*.onnx` of the folder.

    `output` names the output to answer with; without it a model with several answers an object in jsonData.
    `threads` limits the threads of one operator; 0 leaves the number to ONNX Runtime.
    """

    #: Whoever has tensors with names gives them in a mapping.
    takes_inputs_by_name = True

    def __init__(
        self, model_uri: str | None = None, output: str | None = None, threads: int = 0
    ) -> None:
        super().__init__(model_uri)
        self._output = output
        self._threads = threads
        self._session: Any = None
        self._dtypes: dict[str, Any] = {}
        self._outputs: list[str] = []
        self._refusals: tuple[type[Exception], ...] = ()

    def open_model(self, folder: ModelFolder) -> None:
        runtime = import_library("onnxruntime", EXTRA)
        errors = import_library("onnxruntime.capi.onnxruntime_pybind11_state", EXTRA)
        # Of the rank or a fixed dimension; of dimensions that only an operator knows.
        self._refusals = (errors.InvalidArgument, ValueError)
        file = folder.one("one file *.onnx", "*.onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        with reading(file, "an ONNX model"):
            self._session = runtime.InferenceSession(
                str(file), options, providers=runtime.get_available_providers()
            )
        for given in self._session.get_inputs():
            if given.type not in _DTYPES:
                known = ", ".join(_DTYPES)
                raise ModelNotLoaded(
                    f"{file}: the input {given.name} is a {given.type}; expected one of {known}"
                )
            self._dtypes[given.name] = _DTYPES[given.type]
        has = [made.name for made in self._session.get_outputs()]
        if self._output is not None and self._output not in has:
            raise ModelNotLoaded(
                f"{file} has no output {self._output!r}; its outputs are {', '.join(has)}"
            )
        self._outputs = [self._output] if self._output is not None else has

    def answer(self, X: Any, names: Any) -> Any:
        try:
            results = self._session.run(self._outputs, self._feed(X, names))
        except self._refusals as error:
            raise UnfitInput(f"the model refuses the input: {error}") from error
        arrays = [_as_array(result) for result in results]
        if len(arrays) == 1:
            return arrays[0]
        return {name: array.tolist() for name, array in zip(self._outputs, arrays, strict=True)}

    def _feed(self, X: Any, names: Any) -> dict[str, Array]:
        if len(self._dtypes) == 1 and not isinstance(X, Mapping):
            ((name, dtype),) = self._dtypes.items()
            return {name: as_array(X, dtype)}
        inputs = by_name(X, names, list(self._dtypes))
        return {name: as_array(inputs[name], dtype) for name, dtype in self._dtypes.items()}


def _as_array(result: Any) -> Array:
    """An output; of a classifier's ZipMap, a list of class -> probability, a column for each class in its order."""
    if isinstance(result, list) and result and isinstance(result[0], Mapping):
        return np.array([list(row.values()) for row in result])
    return np.asarray(result)
