"""The manifest's `engine`."""

from __future__ import annotations

import json
from enum import Enum


class EngineType(Enum):
    MXNET = "MXNet"


class Engine:
    def __init__(self, engine_name: str, engine_version: str | None = None) -> None:
        """Raises ValueError for an engine that `EngineType` does not know."""
        self.engine_name = EngineType(engine_name)
        self.engine_version = engine_version
        self.engine_dict = self.__to_dict__()

    def __to_dict__(self) -> dict[str, str]:
        fields = {"engineName": self.engine_name.value, "engineVersion": self.engine_version}
        return {key: value for key, value in fields.items() if value is not None}

    def __str__(self) -> str:
        return json.dumps(self.engine_dict)

    __repr__ = __str__
