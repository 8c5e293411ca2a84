"""The model as an MLServer runtime."""

from __future__ import annotations

import json
import os
from base64 import b64decode

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from work import REAL_MODELS, load_work

IS_DIGITS = os.environ["BENCH_WORK"] == "digits"
IS_REAL_MODEL = os.environ["BENCH_WORK"] in REAL_MODELS
IS_CLASSIFIER = os.environ["BENCH_WORK"] == "classifier"
IS_TENSOR = os.environ["BENCH_WORK"].startswith("tensor-")


class Bench(MLModel):
    async def load(self) -> bool:
        if not IS_TENSOR:
            self._work = load_work()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """MLServer joins the tensors of a batch along the first axis, and parts the answer so."""
        tensor = payload.inputs[0]
        if IS_TENSOR:
            output = NumpyCodec.encode_output("y", NumpyCodec.decode_input(tensor))
            return InferenceResponse(model_name=self.name, outputs=[output])
        count = tensor.shape[0]
        if IS_DIGITS or IS_CLASSIFIER:
            images = np.asarray(tensor.data, dtype=np.float64).reshape(count, 64)
            results = self._work([{"image": row} for row in images])
            answers = [json.dumps(each) if IS_CLASSIFIER else each["digit"] for each in results]
            datatype = "BYTES" if IS_CLASSIFIER else "INT64"
        elif IS_REAL_MODEL:
            answers = self._work([b64decode(text) for text in tensor.data])
            datatype = "BYTES"
        else:
            answers = self._work([None] * count)
            datatype = "BYTES"
        output = ResponseOutput(name="answer", shape=[count], datatype=datatype, data=answers)
        return InferenceResponse(model_name=self.name, outputs=[output])
