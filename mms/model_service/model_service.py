"""The base classes of services in archives of MMS's first format."""

from __future__ import annotations

import ast
import json
import logging
import os
import time
from typing import Any

from mms.context import Context


class ModelService:
    """A service: made with the model's name, folder, manifest and GPU, then initialized, then handed batches of one."""

    def __init__(
        self, model_name: str, model_dir: str, manifest: dict[str, Any], gpu: int | None = None
    ) -> None:
        self.ctx: Any = None
        self._context: Context | None = None
        self._signature: Any = None

    def initialize(self, context: Context) -> None:
        """Read the signature. Raises ValueError where the manifest's file for it is missing."""
        self._context = context
        manifest = context.manifest or {}
        self._signature = read_signature(context.system_properties["model_dir"], manifest)

    def inference(self, data: list[Any]) -> Any:
        """Inputs -> result."""
        raise NotImplementedError(f"{type(self).__name__} does not define inference()")

    def ping(self) -> Any:
        return None

    def signature(self) -> Any:
        """The signature as it was read."""
        return self._signature

    def handle(self, data: list[dict[str, Any]], context: Context) -> list[Any]:
        """The result for the first request.

        The input is its parameter of the name that the signature gives to the first input, else its body, else its
        parameter `data`. Bytes are read as a Python literal if the signature's input type is JSON.
        """
        request = data[0]
        value = request.get(self._signature["inputs"][0]["data_name"])
        if value is None:
            value = request.get("body")
        if value is None:
            value = request.get("data")
        if self._signature["input_type"] == "application/json" and isinstance(
            value, (bytes, bytearray)
        ):
            value = ast.literal_eval(value.decode("utf-8"))
        result = self.inference([value])
        return result if isinstance(result, list) else [result]


class SingleNodeService(ModelService):
    """A service in three steps: `_preprocess`, `_inference`, `_postprocess`."""

    def inference(self, data: list[Any]) -> Any:
        """Call the three steps, and log what each took in milliseconds."""
        started_s = time.perf_counter()
        inputs = self._preprocess(data)
        preprocessed_s = time.perf_counter()
        outputs = self._inference(inputs)
        inferred_s = time.perf_counter()
        result = self._postprocess(outputs)
        ended_s = time.perf_counter()
        logging.info("preprocess time: %.2f", (preprocessed_s - started_s) * 1000)
        logging.info("inference time: %.2f", (inferred_s - preprocessed_s) * 1000)
        logging.info("postprocess time: %.2f", (ended_s - inferred_s) * 1000)
        return result

    def _preprocess(self, data: Any) -> Any:
        return data

    def _inference(self, data: Any) -> Any:
        return data

    def _postprocess(self, data: Any) -> Any:
        return data


def read_signature(model_dir: str, manifest: dict[str, Any]) -> Any:
    """The parsed file that the manifest names as the model's signature. Raises ValueError where there is none."""
    name = manifest.get("Model", {}).get("Signature")
    if not name:
        raise ValueError("the manifest has no signature file (Model, Signature)")
    path = os.path.join(model_dir, name)
    if not os.path.isfile(path):
        raise ValueError(f"signature file {name} is not in the archive")
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"signature file {name} is not JSON: {error}") from None
