"""The handler of every model of a container: the functions of a module `inference` beside the model's files."""

from __future__ import annotations

import importlib
import traceback
from typing import Any


class DefaultHandlerService:
    def __init__(self) -> None:
        self._inference: Any = None
        self._model: Any = None

    def initialize(self, context: Any) -> None:
        model_dir = context.system_properties.get("model_dir")
        self._inference = importlib.import_module("inference")
        self._model = self._inference.model_fn(model_dir)

    def handle(self, data: Any, context: Any) -> list[Any]:
        try:
            results = []
            for item in data:
                properties = context.request_processor[0].get_request_properties()
                content_type = properties.get("Content-Type") or properties.get("content-type")
                accept = properties.get("Accept") or "application/json"
                body = item.get("body")
                if content_type == "application/json":
                    body = body.decode("utf-8")
                results.append(
                    self._inference.transform_fn(self._model, body, content_type, accept)
                )
                context.set_response_content_type(0, accept)
            return results
        except Exception as error:
            context.set_response_status(code=500, phrase=str(error))
            return [traceback.format_exc()]
