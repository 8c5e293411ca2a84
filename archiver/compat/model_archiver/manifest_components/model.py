"""The manifest's `model`."""

from __future__ import annotations

import json
from typing import Any


class Model:
    def __init__(
        self,
        model_name: str,
        handler: str,
        description: str | None = None,
        model_version: str | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.model_name = model_name
        self.description = description
        self.model_version = model_version
        self.extensions = extensions
        self.handler = handler
        self.model_dict = self.__to_dict__()

    def __to_dict__(self) -> dict[str, Any]:
        fields = {
            "modelName": self.model_name,
            "handler": self.handler,
            "description": self.description,
            "modelVersion": self.model_version,
            "extensions": self.extensions,
        }
        return {
            key: value
            for key, value in fields.items()
            if value is not None or key in ("modelName", "handler")
        }

    def __str__(self) -> str:
        return json.dumps(self.model_dict)

    __repr__ = __str__
