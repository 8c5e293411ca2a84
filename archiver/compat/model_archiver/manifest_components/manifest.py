"""The manifest as MMS's archiver models it: attributes, a dict and a JSON text."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from .engine import Engine
from .model import Model
from .publisher import Publisher


class RuntimeType(Enum):
    PYTHON = "python"
    PYTHON2 = "python2"
    PYTHON3 = "python3"


class Manifest:
    def __init__(
        self,
        runtime: str,
        model: Model,
        engine: Engine | None = None,
        specification_version: str | None = "1.0",
        implementation_version: str | None = "1.0",
        description: str | None = None,
        publisher: Publisher | None = None,
        model_server_version: str | None = "1.0",
        license: str | None = None,
        user_data: Any = None,
    ) -> None:
        """Raises ValueError for a runtime that `RuntimeType` does not know."""
        self.runtime = RuntimeType(runtime)
        self.engine = engine
        self.model = model
        self.publisher = publisher
        self.specification_version = specification_version
        self.implementation_version = implementation_version
        self.model_server_version = model_server_version
        self.license = license
        self.description = description
        self.user_data = user_data
        self.manifest_dict = self.__to_dict__()

    def __to_dict__(self) -> dict[str, Any]:
        fields = {
            "runtime": self.runtime.value,
            "model": self.model.__to_dict__(),
            "engine": None if self.engine is None else self.engine.__to_dict__(),
            "license": self.license,
            "modelServerVersion": self.model_server_version,
            "description": self.description,
            "implementationVersion": self.implementation_version,
            "specificationVersion": self.specification_version,
            "userData": self.user_data,
            "publisher": None if self.publisher is None else self.publisher.__to_dict__(),
        }
        return {key: value for key, value in fields.items() if value is not None}

    def __str__(self) -> str:
        return json.dumps(self.manifest_dict, indent=2)

    __repr__ = __str__
