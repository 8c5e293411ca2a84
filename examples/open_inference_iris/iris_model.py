"""A model of tensors: an ONNX file, run on the rows of all requests of a batch at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

SPECIES = np.array([b"setosa", b"versicolor", b"virginica"], object)


class Model:
    """`max_batch_size`: so many rows go into one call; the server joins and splits them."""

    max_batch_size = 64

    def load(self) -> None:
        # The worker's folder is that of the archive.
        self._session = onnxruntime.InferenceSession("iris.onnx")

    def predict(self, inputs: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        probabilities, species = self._session.run(["probabilities", "species"], inputs)
        return {"probabilities": probabilities, "name": SPECIES[species]}
