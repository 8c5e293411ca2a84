"""A handler to start from: fill in `load`, `preprocess`, `inference` and `postprocess`.

Copy this file beside your model and derive from `ModelHandler`, as `sentiment_handler.py` does, or write
your code straight into it. It is safe for batches: it takes as many requests as the server hands over,
answers each at its own place, and a request that cannot be read fails alone, with 400 and the reason.

It runs on this server and on AWS Multi Model Server alike, and needs nothing but Python.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


class BadInput(ValueError):
    """Raised by `preprocess` for a request that cannot be read; the client gets 400 and the text."""


class ModelHandler:
    def __init__(self) -> None:
        self.initialized = False

    def initialize(self, context: Any) -> None:
        """Load the model. Called once in each worker process, before its first request."""
        properties = context.system_properties
        self.load(Path(properties["model_dir"]), properties["gpu_id"])
        self.initialized = True

    def load(self, model_dir: Path, gpu_id: int | None) -> None:
        """Read what the archive holds.

        `model_dir` is the folder with the archive's files. `gpu_id` is the number of the GPU that this
        worker should use, or None where there is none.
        """
        raise NotImplementedError

    def preprocess(self, item: dict[str, Any]) -> Any:
        """One request -> one input of the model.

        `item["body"]` is the request's body: parsed JSON for `application/json`, text for `text/...`,
        bytes for anything else. Parts of a multipart form are found under their own names.
        """
        raise NotImplementedError

    def inference(self, inputs: list[Any]) -> list[Any]:
        """The inputs of a whole batch -> as many outputs, in the same order.

        This is where batching pays: call the model once for the list, not once for each of its members.
        """
        raise NotImplementedError

    def postprocess(self, output: Any) -> Any:
        """One output of the model -> one answer: bytes, text, or anything that JSON can hold."""
        return output

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        """The answers for a batch: `data` has between 1 and `batch_size` requests."""
        answers: list[Any] = [None] * len(data)
        inputs = []
        indices = []
        started_at = time.perf_counter()
        for index, item in enumerate(data):
            try:
                inputs.append(self.preprocess(item))
                indices.append(index)
            except BadInput as error:
                context.set_response_status(400, "Bad Request", idx=index)
                answers[index] = {"code": 400, "type": "BadInput", "message": str(error)}
        preprocessed_at = time.perf_counter()
        if inputs:
            outputs = self.inference(inputs)
            for index, output in zip(indices, outputs, strict=True):
                answers[index] = self.postprocess(output)
        ended_at = time.perf_counter()
        context.metrics.add_time("PreprocessTime", round((preprocessed_at - started_at) * 1000, 3))
        context.metrics.add_time("InferenceTime", round((ended_at - preprocessed_at) * 1000, 3))
        return answers
