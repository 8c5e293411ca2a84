"""The model for Triton's Python backend: one call for all requests that the dynamic batcher put together."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from work import REAL_MODELS, load_work

IS_DIGITS = os.environ["BENCH_WORK"] == "digits"
IS_REAL_MODEL = os.environ["BENCH_WORK"] in REAL_MODELS
IS_TENSOR = os.environ["BENCH_WORK"].startswith("tensor-")


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        if not IS_TENSOR:
            self._work = load_work()

    def execute(self, requests: list[Any]) -> list[Any]:
        if IS_TENSOR:
            return [_same(request) for request in requests]
        bodies = [
            pb_utils.get_input_tensor_by_name(request, "body").as_numpy() for request in requests
        ]
        if IS_DIGITS:
            results = self._work([{"image": body.reshape(64)} for body in bodies])
            answers = [np.array([[result["digit"]]], dtype=np.int64) for result in results]
        else:
            if IS_REAL_MODEL:
                bodies = [body.item() for body in bodies]
            answers = [np.array([[text]], dtype=object) for text in self._work(bodies)]
        return [
            pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("answer", answer)])
            for answer in answers
        ]


def _same(request: Any) -> Any:
    array = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
    return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("y", array)])
